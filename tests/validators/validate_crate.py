"""Validate RO-Crates without a network: for an environment with roc-validator and rocrate.

python validate_crate.py PROFILE FOLDER
"""

import json
import sys
from importlib.resources import files

import rocrate_validator.utils.document_loader as loader
from rocrate_validator import models, services
from rocrate_validator.utils import http

CONTEXT = "https://w3id.org/ro/crate/1.1/context"


def fetch(address):
    """The context that rocrate ships, in place of the one from the network."""
    assert address == CONTEXT, f"unexpected address {address}"
    content = json.loads((files("rocrate") / "data" / "ro-crate.jsonld").read_text())
    # That is of version 1.3, which has these terms elsewhere than 1.1.
    workflow = "https://bioschemas.org/ComputationalWorkflow"
    content["@context"] |= {
        "ComputationalWorkflow": workflow,
        "FormalParameter": "https://bioschemas.org/FormalParameter",
        "input": f"{workflow}#input",
        "output": f"{workflow}#output",
    }
    return content


class Response:
    """Of the server that has the context."""

    status_code, ok = 200, True
    headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012

    def json(self):
        return fetch(CONTEXT)

    @property
    def text(self):
        return json.dumps(self.json())

    def raise_for_status(self):
        pass


def get(_, address, **_options):
    assert address == CONTEXT, f"unexpected address {address}"
    return Response()


def main():
    loader._fetch_json_ld = fetch
    http.HttpRequester.get = get
    profile, folder = sys.argv[1:]
    settings = models.ValidationSettings(
        rocrate_uri=folder,
        profile_identifier=profile,
        requirement_severity=models.Severity.REQUIRED,
    )
    result = services.validate(settings)
    for issue in result.get_issues():
        print(issue.severity, issue.check.identifier, issue.message)
    print("valid" if result.passed() else "not valid")


main()
