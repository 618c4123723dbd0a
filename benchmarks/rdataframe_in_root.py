"""Fills histograms with RDataFrame, for ``rdataframe.py``, in a Python that has ROOT.

Prints ROOT's version, then for each line of JSON that it reads one of contents and CPU time.
"""

import json
import sys
import time
from pathlib import Path

import ROOT

ROOT.gROOT.SetBatch(True)
if not ROOT.gInterpreter.Declare(f'#include "{Path(__file__).with_name("rdataframe.h")}"'):
    sys.exit("ROOT's interpreter does not compile rdataframe.h")
print(json.dumps({"version": ROOT.__version__}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    start = time.process_time()
    filled = ROOT.agc.histograms(request["tree"], request["files"], request["process"] == "wjets")
    seconds = time.process_time() - start
    contents = {str(entry.first): list(entry.second) for entry in filled}
    print(json.dumps({"seconds": seconds, "contents": contents}), flush=True)
