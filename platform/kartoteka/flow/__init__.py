"""The protocol under every stage: fixed parts, one completion each, and rows that kill their worker set aside."""
