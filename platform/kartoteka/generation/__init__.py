"""The generator: a BART that writes a document's keyphrases one after the other (BART-KP, One2Seq)."""
