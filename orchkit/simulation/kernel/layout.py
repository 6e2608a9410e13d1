"""Where everything is in the kernel's arrays.

The kernel reads a program (``p``, integers, and ``d``, floats), which several threads may share, and works in one memory
(``m``, integers). Each is flat, so that a function of the kernel takes three arrays and nothing else; tables in them
have rows of a fixed width, which begin where a field of the header says. Times are microseconds since 1970.
"""

from __future__ import annotations

# Kinds of nodes -----------------------------------------------------------------
START, END, TASK, XOR, AND, OR, EVENT, WAIT, SCOPE, FOREACH, WHILE, SAGA, CALL = range(13)

# Header of the program ----------------------------------------------------------
(
    P_NODES,
    P_NODE_COUNT,
    P_FLOWS,
    P_GRAPHS,
    P_LISTS,
    P_FAILURES,
    P_CALENDARS,
    P_DISTRIBUTIONS,
    P_HELD,
    P_DEPTH,
    P_ARRIVAL_KIND,
    P_ARRIVALS,
    P_ARRIVAL_COUNT,
    P_CODE,
    P_ATTRIBUTES,
    P_START,
    P_POOL_COUNT,
    P_KNOWN,
    P_KNOWN_CASES,
    P_ATTRIBUTE_COUNT,
    P_DEMANDS,
) = range(21)
P_HEADER = 24

# A node -------------------------------------------------------------------------
(
    N_KIND,
    N_GRAPH,
    N_OUT,
    N_OUT_COUNT,
    N_ERROR,
    N_ERROR_COUNT,
    N_ON_TIMEOUT,
    N_IN_COUNT,
    N_CHOICE,
    N_INNER,
    N_TIMEOUT,
    N_DEADLINE,
    N_FALLBACK,
    N_UNDO,
    N_ATTEMPTS,
    N_RETRY,
    N_WORK,
    N_POOL,
    N_FAILURES,
    N_FAILURE_COUNT,
    N_END,
    N_RIVALS,
    N_RIVAL_COUNT,
    N_REACH,
    N_CONCURRENCY,
    N_TOLERATED,
    N_ITERATIONS,
    N_REPEAT,
    N_SKIP,
    N_EXIT,
    N_HELD,
    N_EXIT_AFTER,
    N_PRIORITY,
    N_PATIENCE,
    N_SETUP,
    N_BATCH,
    N_BATCH_WAIT,
    N_NEVER,
    N_FAILS,
    N_TIMEOUT_CLASS,
    N_BY_SHARES,
    N_ERROR_CHOICE,
    N_ITEMS_CODE,
    N_SKIP_CODE,
    N_EXIT_CODE,
    N_DELAY,
    N_DELAY_CLOCK,
    N_DEMANDS,
    N_DEMAND_COUNT,
    N_PLAIN,
    N_WIDTH,
) = range(51)

# How a choice is made
BY_SHARES, BY_CONDITIONS = 1, 2
# A flow: its target, where its token waits (-1: nowhere), its bit among those of the target, whether it has a condition
# (-1: none), its share: a number in d, or, where conditions decide, the code of its own
F_TARGET, F_HELD, F_BIT, F_CONDITION, F_SHARE, F_WIDTH = range(6)
# A graph: its starts, its first node, the scope that it is in
G_STARTS, G_START_COUNT, G_FIRST, G_SAGA, G_OR_JOINS, G_OR_COUNT, G_HELD_COUNT, G_WIDTH = range(8)
# A way to fail: class and type, the distribution of how long it takes (-1: as a success), its probability in d
X_CODE, X_AFTER, X_SHARE, X_WIDTH = range(4)
# A calendar: its spans (opens, closes, work before), their number, when they begin, and how long they go on; work in
# all of them; for each hour, the last span that has opened at its beginning; the length of the period at their end
# that comes again and again, and work in it
C_SPANS, C_COUNT, C_BASE, C_LENGTH, C_ALL, C_HOURS, C_PERIOD, C_WORK, C_WIDTH = range(9)
# A distribution in d: family, five numbers
D_WIDTH = 6

# Header of the memory -----------------------------------------------------------
(
    M_NOW,
    M_SEQ,
    M_HEAP,
    M_HEAP_COUNT,
    M_HEAP_SIZE,
    M_STEPS,
    M_STEP_FREE,
    M_STEP_COUNT,
    M_STEP_SIZE,
    M_PASSES,
    M_PASS_FREE,
    M_PASS_COUNT,
    M_PASS_SIZE,
    M_UNDOS,
    M_UNDO_FREE,
    M_UNDO_COUNT,
    M_UNDO_SIZE,
    M_CASES,
    M_CASE_FREE,
    M_CASE_COUNT,
    M_CASE_SIZE,
    M_STACK,
    M_STACK_COUNT,
    M_STACK_SIZE,
    M_AGENDA,
    M_AGENDA_HEAD,
    M_AGENDA_TAIL,
    M_AGENDA_SIZE,
    M_COMMANDS,
    M_COMMAND_HEAD,
    M_COMMAND_TAIL,
    M_MESSAGES,
    M_MESSAGE_HEAD,
    M_MESSAGE_TAIL,
    M_TOKENS,
    M_TOKEN_COUNT,
    M_OPENED,
    M_OPENED_COUNT,
    M_POOLS,
    M_UNITS,
    M_ROWS,
    M_ROW_COUNT,
    M_ROW_SIZE,
    M_ENDED,
    M_ENDED_COUNT,
    M_ENDED_SIZE,
    M_OVERFLOW,
    M_TRACE,
    M_TRACE_COUNT,
    M_TRACE_SIZE,
    M_ARRIVED,
    M_CASE_LIMIT,
    M_UNTIL,
    M_KEY,
    M_TURN,
    M_SERIAL,
    M_EVENTS,
    M_BATCHES,
    M_LIVE,
    M_STEPS_LIVE,
    M_BEFORE,
    M_WARM,
    M_UNKNOWN,
    M_SINCE,  # of the token that moves: since when what comes next has waited for others
    M_ACTED,  # when something happened last: a deadline that passes unneeded is nothing
    M_HEAP_GAP,  # whether the first event has been taken, and nothing is in its place yet
    M_SPANS,  # by calendar, the span that was looked up last: from when to when
) = range(67)
M_HEADER = 96

# A step that is open ------------------------------------------------------------
(
    S_GEN,
    S_NODE,
    S_PASS,
    S_STATUS,
    S_ATTEMPT,
    S_NEXT,
    S_PREV,
    S_KIND,
    S_VISIT,
    S_FAILURE,
    S_ENABLED,
    S_STARTED,
    S_UNIT,
    S_Q_NEXT,
    S_Q_PREV,
    S_QUEUED,
    S_PRIORITY,
    S_SEQ,
    S_LEFT,
    S_LOOP_NEXT,
    S_ACTIVE,
    S_FAILED,
    S_CLOSED,
    S_ITEMS,
    S_FIRST_FAILURE,
    S_TOKEN,
    S_CHILD,
    S_CHILD_LAST,
    S_OUTCOME,
    S_OVERTAKEN,
    S_READY,
    S_SERIAL,
    S_BATCH_NEXT,
    S_LEADER,
    S_GATHERED,
    S_PAUSED,
    S_AWAY,
    S_SINCE,
    S_TAIL,
    S_WIDTH,
) = range(40)
# While a task waits in a queue by rank, it has in place of what a loop counts: its places in the tree that tells where the
# next one belongs, and among those that nobody has overtaken yet. A slot is 1 more there, and 0 is none.
S_TREE_LEFT, S_TREE_RIGHT, S_TREE_UP, S_OLDER, S_YOUNGER = S_LOOP_NEXT, S_ACTIVE, S_FAILED, S_CLOSED, S_ITEMS
# Where a step waits (S_QUEUED): nowhere, in a queue, for a batch to fill, behind the first of its batch
IN_QUEUE, GATHERING, FOLLOWING = 1, 2, 3
FIFO, PREEMPTIVE = 0, 3  # disciplines

# A pass through a graph; what waits at joins follows: for each flow twice the moment since when, and one; or 0
(
    I_GEN,
    I_GRAPH,
    I_PARENT,
    I_MODE,
    I_FAILURE,
    I_UNDO,
    I_UNDONE_BADLY,
    I_FIRST,
    I_LAST,
    I_INDEX,
    I_OPEN,
    I_HELD_COUNT,
    I_CASE,
    I_ROOT,
    I_BAD,
    I_CANCELLING,
    I_NEXT,
    I_PREV,
    I_TURN,
    I_OPENS,
    I_SINCE,
    I_HELD,
) = range(22)

# What a saga may have to undo; the serials of the scopes around it follow ---------
U_SERIAL, U_NODE, U_NEXT, U_DEPTH, U_WITHIN = range(5)
# A case that is in flight, and the step that ended last in it; its visits by node follow
K_NUMBER, K_ARRIVED, K_KEY, K_ROOT, K_LAST, K_VISITS = range(6)
# A role, and a resource
(
    Q_FIRST,
    Q_COUNT,
    Q_IDLE,
    Q_IDLE_LAST,
    Q_IDLE_COUNT,
    Q_HEAD,
    Q_TAIL,
    Q_LENGTH,
    Q_DISCIPLINE,
    Q_WAKE,
    Q_LIMIT,
    Q_PAUSE,
    Q_JOINT,
    Q_OTHERS,
    Q_OTHER_COUNT,
    Q_CALENDAR,
    Q_TREE,
    Q_OLDEST,
    Q_YOUNGEST,
    Q_WIDTH,
) = range(20)
DELAYED = -2  # in place of who does a step: it cannot begin yet
R_NEXT, R_CALENDAR, R_STEP, R_LAST_NODE, R_POOL, R_BUSY, R_ALSO, R_HELPED, R_WIDTH = range(9)

# Statuses, as in orchkit.model.states -------------------------------------------
(
    PENDING,
    RUNNING,
    WAITING,
    RETRYING,
    COMPLETED,
    FAILED,
    SKIPPED,
    CANCELLED,
    COMPENSATING,
    COMPENSATED,
    DEAD_LETTERED,
) = range(11)
STATUS_NAMES = (
    "PENDING",
    "RUNNING",
    "WAITING",
    "RETRYING",
    "COMPLETED",
    "FAILED",
    "SKIPPED",
    "CANCELLED",
    "COMPENSATING",
    "COMPENSATED",
    "DEAD_LETTERED",
)
# Modes of a pass
GOING, ENDING, FAILING, UNDOING = range(4)
# What a step is about
K_TASK, K_WAIT, K_SCOPE, K_CALL, K_COMPENSATION, K_GATEWAY, K_RUN, K_TIMER, K_CANCEL = range(9)
KIND_NAMES = ("task", "wait", "scope", "call", "compensation", "gateway", "run", "timer", "cancel")

# Failures: class, flags, type, node in one integer; 0 is none --------------------
TRANSIENT, PERMANENT, PARTIAL, TIMED_OUT, STOPPED = range(1, 6)
CLASS_NAMES = ("", "transient", "permanent", "partial", "timeout", "cancelled")
CLASS_MASK, EXHAUSTED, UNDONE, TYPE_SHIFT, TYPE_MASK, NODE_SHIFT = 7, 8, 16, 5, 0xFFFF, 21
(
    T_TIMEOUT,
    T_DEADLINE,
    T_DEADLOCK,
    T_UNSAFE,
    T_NO_FLOW,
    T_LIVELOCK,
    T_ERROR_END,
    T_CANCELLED,
    T_ITEMS,
    T_ITERATIONS,
    T_CHILD,
    T_ABANDONED,
    T_QUEUE_FULL,
    T_CALLBACK,
    T_EXPRESSION,
) = range(15)
TYPE_NAMES = (
    "Timeout",
    "DeadlineExceeded",
    "Deadlock",
    "UnsafeWorkflow",
    "NoFlow",
    "Livelock",
    "ErrorEnd",
    "Cancelled",
    "ItemsFailed",
    "TooManyIterations",
    "ChildFailed",
    "Abandoned",
    "QueueFull",
    "CallbackFailed",
    "ExpressionError",
)

# Events -------------------------------------------------------------------------
(
    E_ARRIVAL,
    E_DONE,
    E_RETRY,
    E_TIMER,
    E_TIMEOUT,
    E_DEADLINE,
    E_CALLBACK,
    E_CALLBACK_FAILED,
    E_PATIENCE,
    E_WAKE,
    E_BATCH,
    E_READY,
) = range(12)
# Commands and messages
(
    DO_RUN,
    DO_DEADLINE,
    DO_TIMER,
    DO_TIMEOUT,
    DO_WAIT,
    DO_CHILD,
    DO_STOP,
    DO_RETRY,
    TELL_CHILD,
    TELL_CANCEL,
    TELL_ENDED,
    DO_LATER,
) = range(12)
# What is on the stack of a turn
(
    O_ENTER,
    O_OPEN,
    O_LOOK,
    O_FAIL_PASS,
    O_GIVE_UP,
    O_SETTLE,
    O_NEXT_PASSES,
    O_TIMEOUT,
    O_UNDO_NEXT,
) = range(9)
# Purposes of draws
(
    U_WORK,
    U_FAIL,
    U_FAIL_AFTER,
    U_BRANCH,
    U_ITEMS,
    U_SKIP,
    U_EXIT,
    U_REPEAT,
    U_RETRY,
    U_WAIT,
    U_NEVER,
    U_WAIT_FAILS,
    U_PATIENCE,
    U_SETUP,
    U_ARRIVAL,
    U_ATTRIBUTE,
    U_PRIORITY,
    U_DELAY,
) = range(18)

# Operations of expressions
(
    C_END,
    C_CONST,
    C_ATTRIBUTE,
    C_ERROR,
    C_FIND,
    C_SCALE,
    C_LOOKUP,
    C_AND,
    C_OR,
    C_IF,
    C_ADD,
    C_SUB,
    C_MUL,
    C_DIV,
    C_FLOORDIV,
    C_MOD,
    C_POW,
    C_LT,
    C_LE,
    C_GT,
    C_GE,
    C_EQ,
    C_NE,
    C_MIN,
    C_MAX,
    C_NEG,
    C_NOT,
    C_ABS,
    C_ROUND,
    C_INT,
    C_BOOL,
) = range(31)
C_DEPTH = 48

MICRO = 1_000_000
KNOWN_MARK = 0x2C5A7  # what the keys of cases begin with whose attributes are known
CASE_KEY = 0x5851F42D4C957F  # what makes the keys of the cases of a replication differ
HOUR = 3_600 * MICRO
FOREVER = 1 << 62
LATEST = 253_402_300_799 * MICRO  # the last second of the year 9999
LONGEST = 10**18  # what a duration is at most, in microseconds: sums of a few of them are still integers

# A row of the log: case and node; enabled, started, completed; unit, status, more, attempt, failure. Where a second row
# follows, it says how long branches stood at a join before, how much later the attempt could begin, when it was overtaken
# (-1: never), how long it waited for a batch, and how much of the time was no work: interruptions (`TOGETHER`: the first
# step of its batch has the work). What is open has instead of its completion -1; or, where it is interrupted, -2 less
# the moment since when.
ROW_WIDTH = 5
ROW_MORE = 31  # the bit that says so
TOGETHER = -1 << 62
ENDED_WIDTH = 3
TRACE_WIDTH = 6
STACK_WIDTH = 4
