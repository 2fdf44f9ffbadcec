"""Every table, by name and in the order in which they are documented."""

from __future__ import annotations

from repbias.tables import audit, claims, comparisons, encoding, networks, recordings, recovery
from repbias.tables.row import Row, table_name

#: Every table: its name and the class of its rows.
TABLES: dict[str, type[Row]] = {
    table_name(row): row
    for row in (
        networks.Learning,
        networks.VarianceExplained,
        networks.VarianceDecomposition,
        networks.Behaviour,
        networks.Units,
        networks.Sparsity,
        networks.Components,
        networks.Steering,
        networks.Probes,
        networks.Conflict,
        networks.Encryption,
        comparisons.Similarity,
        comparisons.Identification,
        comparisons.RsaModels,
        comparisons.RsaUntrained,
        comparisons.RsaRecordings,
        comparisons.RsaSubjects,
        comparisons.RsaFitted,
        comparisons.RsaTests,
        comparisons.RsaTimes,
        comparisons.RsaBetweenRecordings,
        audit.Audit,
        audit.AuditRemaining,
        audit.AuditRange,
        audit.AuditNetworks,
        recovery.Recovery,
        recovery.RecoveryShares,
        encoding.Encoding,
        encoding.EncodingRegions,
        encoding.VariancePartition,
        encoding.VariancePartitionRegions,
        recordings.Quality,
        recordings.Cautions,
        recordings.References,
        recordings.Reliability,
        claims.Claims,
    )
}
