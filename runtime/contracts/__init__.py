"""What the runtime asks of datamodules, modules, writers and the other parts that a config names.

Each Protocol holds one contract: what to write, when it is called, and what it must return. `DataModule` and
`LogsMetrics` are required. All others are optional: a part that defines the members of one takes part in it, and no
base class is needed. `tests/runtime/test_contracts.py` holds every class of the zoo to these signatures.
"""

from medzoo.runtime.contracts.datamodules import (
    CaseTables,
    DataModule,
    DescribesBatch,
    HasImages,
    KnowsSeen,
    LeavesOut,
    NamesClasses,
    Normalises,
    OrderedSplits,
    PatientTables,
    TellsWaiting,
    UsesClasses,
    Waits,
)
from medzoo.runtime.contracts.modules import (
    ChecksCases,
    Exports,
    Finalizes,
    Fitted,
    LogsMetrics,
    PreparesBatches,
    Pretrained,
    Receives,
    SaysItsSteps,
    SaysItsStrategy,
    TakesOptions,
)
from medzoo.runtime.contracts.parts import Begins, ChecksFolder, Compares, KeepsEntries, Prepares, Writer

__all__ = [
    "Begins",
    "CaseTables",
    "ChecksCases",
    "ChecksFolder",
    "Compares",
    "DataModule",
    "DescribesBatch",
    "Exports",
    "Finalizes",
    "Fitted",
    "HasImages",
    "KeepsEntries",
    "KnowsSeen",
    "LeavesOut",
    "LogsMetrics",
    "NamesClasses",
    "Normalises",
    "OrderedSplits",
    "PatientTables",
    "Prepares",
    "PreparesBatches",
    "Pretrained",
    "Receives",
    "SaysItsSteps",
    "SaysItsStrategy",
    "TakesOptions",
    "TellsWaiting",
    "UsesClasses",
    "Waits",
    "Writer",
]
