"""The stages of a re-index, one file each: what is loaded for a part, which steps its rows pass, what is written."""

from kartoteka.stages.analyse import Analyse
from kartoteka.stages.catalogue import write_catalogue
from kartoteka.stages.clusters import cluster_documents
from kartoteka.stages.commit import commit, finish
from kartoteka.stages.embed import Embed, Encoding
from kartoteka.stages.fit import fit_ranker
from kartoteka.stages.identify import identify
from kartoteka.stages.labels import Label, write_labels
from kartoteka.stages.lexical import index_lexically
from kartoteka.stages.read import Read, read_archive
from kartoteka.stages.search import Words, index_words
from kartoteka.stages.suggest import Sources, Suggest, numbering
from kartoteka.stages.trained import EncodeTrained, encode_trained
from kartoteka.stages.vectors import index_vectors
from kartoteka.stages.vocabulary import build_vocabulary
from kartoteka.stages.withdraw import withdraw

__all__ = [
    "Analyse", "Embed", "EncodeTrained", "Encoding", "Label", "Read", "Sources", "Suggest", "Words",
    "build_vocabulary", "cluster_documents", "commit", "encode_trained", "finish", "fit_ranker", "identify",
    "index_lexically", "index_vectors", "index_words", "numbering", "read_archive", "withdraw", "write_catalogue",
    "write_labels",
]  # fmt: skip
