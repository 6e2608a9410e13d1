# ruff: noqa: S608 -- put together from what stands here; whatever comes from outside is a parameter
"""The SQL of the queries. All that is told of runs, steps and cases is computed from the history."""

from orchkit.model.states import RunStatus, StepStatus
from orchkit.store.rows import StoredRow

__all__ = [
    "CASES",
    "FAILED_RUNS",
    "FAILED_STEPS",
    "HISTORY",
    "KIND_ROWS",
    "KNOWN_RUNS",
    "OPEN_ROWS",
    "OPEN_RUNS",
    "ROWS_AFTER",
    "RUNS",
    "RUNS_PAGE",
    "RUN_OUTCOMES",
    "STEPS",
]

_ENDED = ", ".join(f"'{status}'" for status in RunStatus if status.is_final)
_OUTCOMES = ", ".join(
    f"'{status}'"
    for status in (
        StepStatus.COMPLETED,
        StepStatus.FAILED,
        StepStatus.SKIPPED,
        StepStatus.CANCELLED,
        StepStatus.COMPENSATED,
    )
)

_RUN_COLUMNS = "run_id, case_id, workflow, digest, version, parent_step, epoch_us(started_at)"
_ROW_COLUMNS = ", ".join(
    "epoch_us(h.occurred_at)" if name == "occurred_at" else f"h.{name}" for name in StoredRow._fields
)

KNOWN_RUNS = f"""
    SELECT {_RUN_COLUMNS} FROM runs SEMI JOIN (SELECT unnest(?::VARCHAR[]) AS run_id) USING (run_id)
"""

HISTORY = """
    SELECT * FROM history WHERE run_id = ? AND seq >= (SELECT min(seq) FROM runs WHERE run_id = ?) ORDER BY seq
"""

# The state of the runs of `chosen`: the last of the rows about the run itself. A run's history begins at its `seq`.
_STATES = f"""
    SELECT
        run_id,
        arg_max(status, h.seq) AS status,
        arg_max_null(CASE WHEN h.status IN ({_ENDED}) THEN h.occurred_at END, h.seq) AS ended_at,
        arg_max_null(h.duration_s, h.seq) AS duration_s,
        arg_max_null(h.error_class, h.seq) AS error_class,
        arg_max_null(h.error_type, h.seq) AS error_type,
        arg_max_null(h.error_message, h.seq) AS error_message,
        arg_max_null(h.payload, h.seq) AS payload
    FROM history AS h SEMI JOIN chosen USING (run_id)
    WHERE h.kind = 'run' AND h.seq >= (SELECT min(seq) FROM chosen)
    GROUP BY run_id
"""

RUNS = f"""
    WITH chosen AS MATERIALIZED (SELECT *, rowid AS place FROM runs ORDER BY seq DESC, place DESC LIMIT ?),
    states AS ({_STATES})
    SELECT
        run_id, case_id, workflow, version, digest, status, started_at, ended_at, error_class, error_type, error_message
    FROM chosen LEFT JOIN states USING (run_id)
    ORDER BY seq DESC, place DESC
"""

# Where a status is asked for, the states of all are looked at; else only those of the page.
RUNS_PAGE = f"""
    WITH chosen AS MATERIALIZED (
        SELECT *, rowid AS place FROM runs
        WHERE workflow = coalesce(?, workflow) AND case_id = coalesce(?, case_id)
            AND (seq < ? OR (seq = ? AND rowid < ?))
        ORDER BY seq DESC, place DESC
        LIMIT ?
    ),
    states AS ({_STATES})
    SELECT
        run_id, case_id, workflow, version, digest, status, started_at, ended_at, error_class, error_type,
        error_message, seq, place
    FROM chosen LEFT JOIN states USING (run_id)
    WHERE ?::VARCHAR[] IS NULL OR list_contains(?::VARCHAR[], status)
    ORDER BY seq DESC, place DESC
    LIMIT ?
"""

# From one place of the history on; of one run or workflow, or of all.
ROWS_AFTER = """
    SELECT * FROM history
    WHERE seq > ? AND run_id = coalesce(?, run_id) AND workflow = coalesce(?, workflow)
    ORDER BY seq LIMIT ?
"""

# Where it happened is the innermost of the steps that failed with the run's error: the first that has it.
RUN_OUTCOMES = f"""
    WITH asked AS (SELECT unnest(?::VARCHAR[]) AS run_id, unnest(range(?)) AS place),
    chosen AS MATERIALIZED (SELECT runs.*, asked.place FROM runs JOIN asked USING (run_id)),
    states AS ({_STATES}),
    places AS (
        SELECT run_id, arg_min(h.node, h.seq) AS error_node
        FROM history AS h JOIN states USING (run_id)
        WHERE h.node IS NOT NULL
            AND h.seq >= (SELECT min(seq) FROM chosen)
            AND h.error_class IS NOT DISTINCT FROM states.error_class
            AND h.error_type = states.error_type
            AND h.error_message IS NOT DISTINCT FROM states.error_message
        GROUP BY run_id
    )
    SELECT
        run_id, case_id, workflow, status, started_at, ended_at,
        coalesce(duration_s, (epoch_us(ended_at) - epoch_us(started_at)) / 1e6) AS duration_s,
        error_node, error_class, error_type, error_message,
        CAST(payload -> '$.variables' AS VARCHAR) AS variables
    FROM chosen LEFT JOIN states USING (run_id) LEFT JOIN places USING (run_id)
    ORDER BY place
"""

OPEN_RUNS = f"""
    WITH ended AS (
        SELECT run_id FROM history WHERE kind = 'run' GROUP BY run_id HAVING arg_max(status, seq) IN ({_ENDED})
    )
    SELECT {_RUN_COLUMNS}, seq FROM runs ANTI JOIN ended USING (run_id) ORDER BY seq, rowid
"""

OPEN_ROWS = f"""
    WITH asked AS (SELECT unnest(?::VARCHAR[]) AS run_id, unnest(range(?)) AS place)
    SELECT {_ROW_COLUMNS} FROM history AS h JOIN asked USING (run_id) WHERE h.seq >= ? ORDER BY place, h.seq
"""

FAILED_RUNS = f"""
    WITH chosen AS MATERIALIZED (SELECT *, rowid AS place FROM runs),
    states AS ({_STATES}),
    inputs AS (
        SELECT run_id, arg_min(h.payload -> '$.inputs', h.seq) AS inputs FROM history AS h
        WHERE h.kind = 'run' GROUP BY run_id
    )
    SELECT
        run_id, case_id, workflow, version, parent_step, ended_at AS since, error_class, error_type, error_message,
        CAST(inputs AS VARCHAR) AS inputs
    FROM chosen JOIN states USING (run_id) LEFT JOIN inputs USING (run_id)
    WHERE list_contains(?::VARCHAR[], status)
    ORDER BY ended_at, place
"""

KIND_ROWS = f"""
    SELECT {_ROW_COLUMNS} FROM history AS h WHERE list_contains(?::VARCHAR[], h.kind) ORDER BY h.seq
"""

FAILED_STEPS = """
    SELECT
        run_id, step_id,
        any_value(h.node) AS node,
        any_value(h.kind) AS kind,
        max(h.attempt) AS attempts,
        arg_max(h.error_class, h.seq) AS error_class,
        arg_max(h.error_type, h.seq) AS error_type,
        arg_max(h.error_message, h.seq) AS error_message
    FROM history AS h
    WHERE list_contains(?::VARCHAR[], run_id) AND h.kind IN ('task', 'wait', 'call', 'compensation')
    GROUP BY run_id, step_id
    HAVING arg_max(h.status, h.seq) = 'FAILED'
    ORDER BY max(h.seq) DESC
"""

# An attempt: what opened it, what began it, and its own outcome, the first: a fallback may follow, or a retry that is
# cancelled.
STEPS = f"""
    WITH chosen AS MATERIALIZED (
        SELECT * FROM runs WHERE workflow = coalesce(?, workflow) AND run_id = coalesce(?, run_id)
            AND (
                ?::TIMESTAMPTZ IS NULL
                OR run_id NOT IN (
                    SELECT run_id FROM history WHERE kind = 'run'
                    GROUP BY run_id HAVING arg_max(status, seq) IN ({_ENDED}) AND max(occurred_at) < ?::TIMESTAMPTZ
                )
            )
    ),
    attempts AS (
        SELECT
            run_id, step_id, attempt,
            min(h.seq) AS seq,
            any_value(h.node) AS activity,
            coalesce(
                min(h.occurred_at) FILTER (h.status = 'PENDING'),
                min(h.occurred_at) FILTER (h.status IN ('RUNNING', 'WAITING'))
            ) AS enabled,
            min(h.occurred_at) FILTER (h.status = 'RUNNING') AS started,
            arg_min(h.occurred_at, h.seq) FILTER (h.status IN ({_OUTCOMES})) AS completed,
            coalesce(arg_min(h.status, h.seq) FILTER (h.status IN ({_OUTCOMES})), arg_max(h.status, h.seq)) AS status,
            arg_min(h.payload ->> '$.role', h.seq) FILTER (h.status IN ('PENDING', 'RUNNING')) AS role,
            arg_max(h.resource, h.seq) AS resource,
            arg_min(h.payload ->> '$.of', h.seq) FILTER (h.status IN ('PENDING', 'RUNNING')) AS undone,
            arg_min_null(h.error_class, h.seq) FILTER (h.status IN ({_OUTCOMES})) AS error_class,
            arg_min_null(h.error_type, h.seq) FILTER (h.status IN ({_OUTCOMES})) AS error_type,
            arg_min_null(h.error_message, h.seq) FILTER (h.status IN ({_OUTCOMES})) AS error_message
        FROM history AS h SEMI JOIN chosen USING (run_id)
        WHERE list_contains(?::VARCHAR[], h.kind) AND h.seq >= (SELECT min(seq) FROM chosen)
        GROUP BY run_id, step_id, attempt
    ),
    replayed AS MATERIALIZED (
        SELECT run_id, h.seq FROM history AS h SEMI JOIN chosen USING (run_id)
        WHERE h.kind = 'decision' AND h.status = 'REPLAYED' AND h.seq >= (SELECT min(seq) FROM chosen)
    )
    SELECT
        case_id, activity, enabled, started, completed, status, attempt, role, resource,
        error_class, error_type, error_message, run_id, step_id, workflow, version,
        regexp_replace(undone, '#[0-9]+$', '') AS compensates,
        (SELECT count(*) FROM replayed AS r WHERE r.run_id = attempts.run_id AND r.seq < attempts.seq) AS replays
    FROM attempts JOIN chosen USING (run_id)
    ORDER BY attempts.seq
"""

# A case may call the same workflow several times: its runs are one row, from the first to the last.
CASES = f"""
    WITH chosen AS MATERIALIZED (
        SELECT *, rowid AS place FROM runs WHERE workflow = coalesce(?, workflow) AND run_id = coalesce(?, run_id)
            AND (
                ?::TIMESTAMPTZ IS NULL
                OR run_id NOT IN (
                    SELECT run_id FROM history WHERE kind = 'run'
                    GROUP BY run_id HAVING arg_max(status, seq) IN ({_ENDED}) AND max(occurred_at) < ?::TIMESTAMPTZ
                )
            )
    ),
    states AS ({_STATES}),
    inputs AS (
        SELECT run_id, arg_min(h.payload -> '$.inputs', h.seq) AS inputs
        FROM history AS h SEMI JOIN chosen USING (run_id)
        WHERE h.kind = 'run' AND h.seq >= (SELECT min(seq) FROM chosen)
        GROUP BY run_id
    )
    SELECT
        case_id, workflow,
        arg_min(version, place) AS version,
        min(started_at) AS started,
        CASE WHEN bool_and(ended_at IS NOT NULL) THEN max(ended_at) END AS completed,
        CASE
            WHEN bool_and(ended_at IS NOT NULL) THEN arg_max(status, place)
            ELSE arg_max(status, place) FILTER (ended_at IS NULL)
        END AS status,
        arg_min(run_id, place) AS run_id,
        CAST(arg_min(inputs, place) AS VARCHAR) AS inputs
    FROM chosen LEFT JOIN states USING (run_id) LEFT JOIN inputs USING (run_id)
    GROUP BY case_id, workflow
    ORDER BY min(place)
"""
