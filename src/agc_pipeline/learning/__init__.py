"""Models that are trained on events: training, cards, scores, servers. Knows no physics."""
