"""Published metrics, exactly: keyphrases against references, with intervals, tests and calibration."""
