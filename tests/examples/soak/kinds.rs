//! The kinds of attacks, and how each must end.

use tonic::Code;

/// One kind of attack.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// How often it is tried, against the sum of all.
    pub(crate) weight: u32,
    pub(crate) manner: Manner,
    /// Codes that it may end with, `Ok` for an answer; and what the message must contain one of.
    pub(crate) codes: &'static [Code],
    pub(crate) words: &'static [&'static str],
}

/// What is done.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Calls this function, whose result has this type.
    Call {
        result: &'static str,
        code: &'static str,
    },
    /// The same, and the answer must be 0.
    Zero {
        code: &'static str,
    },
    /// Calls an endless function and goes away after a while.
    Cancel,
    /// Opens an exchange, sends nothing but the schema, and goes away.
    HalfOpen,
    /// Sends batches and never reads.
    NeverRead,
    /// Sends these bytes as message.
    Garbage,
    /// Flips bits of a good message.
    Flip,
    /// A token that is none, of somebody else, or with a letter changed.
    NoToken,
    OtherToken,
    ChangedToken,
    /// No descriptor, or one of another function.
    NoDescriptor,
    OtherFunction,
    /// A definition that is none.
    Definition,
    /// Bytes that are no HTTP/2, or the beginning of it, on a new connection.
    Socket,
}

const fn python(
    name: &'static str,
    weight: u32,
    code: &'static str,
    codes: &'static [Code],
    words: &'static [&'static str],
) -> Kind {
    Kind { name, weight, manner: Manner::Call { result: "BIGINT NULL", code }, codes, words }
}

const fn wire(
    name: &'static str,
    weight: u32,
    manner: Manner,
    codes: &'static [Code],
    words: &'static [&'static str],
) -> Kind {
    Kind { name, weight, manner, codes, words }
}

const LIMITED: &[Code] = &[Code::ResourceExhausted];
const INVALID: &[Code] = &[Code::InvalidArgument];

/// All kinds. Those that hold a thread until their deadline are rare.
pub(crate) const KINDS: &[Kind] = &[
    python("endless loop", 60, "def f(a, b):\n    while True: pass\n", LIMITED, &["fuel"]),
    python("endless sum", 30, "def f(a, b): return sum(range(1 << 60))\n", LIMITED, &["fuel"]),
    python(
        "endless finally",
        20,
        "def f(a, b):\n    while True:\n        try: f(a, b)\n        finally: continue\n",
        &[Code::ResourceExhausted, Code::Internal],
        &["fuel", "recursion", "stack", "trap"],
    ),
    python(
        "backtracking",
        20,
        "import re\ndef f(a, b): return len(re.match('(a+)+$', 'a' * 60 + 'b'))\n",
        LIMITED,
        &["fuel"],
    ),
    python("power", 20, "def f(a, b): return pow(3, 10 ** 9) % 7\n", LIMITED, &["fuel", "memory"]),
    python("1 GiB", 60, "def f(a, b): return len(bytearray(1 << 30))\n", LIMITED, &["memory_bytes"]),
    python(
        "list without end",
        20,
        "def f(a, b):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n",
        LIMITED,
        &["memory_bytes", "fuel"],
    ),
    python("recursion", 40, "def f(a, b): return f(a, b)\n", LIMITED, &["Recursion", "recursion", "fuel"]),
    python(
        "nested repr",
        20,
        "def f(a, b):\n    x = []\n    for _ in range(20000): x = [x]\n    return len(repr(x))\n",
        LIMITED,
        &["recursion", "Recursion", "fuel", "stack"],
    ),
    python("abort", 80, "import os\ndef f(a, b): os.abort()\n", &[Code::Internal], &["aborted"]),
    python("exit", 80, "import os\ndef f(a, b): os._exit(3)\n", INVALID, &["code 3"]),
    python(
        "raise",
        80,
        "def f(a, b): raise ValueError('\\x1b[2J' * 10 + '\\r\\nforged')\n",
        INVALID,
        &["ValueError"],
    ),
    python(
        "repr that spins",
        20,
        "class A:\n    def __repr__(self):\n        while True: pass\ndef f(a, b): return A()\n",
        LIMITED,
        &["fuel"],
    ),
    python("wrong type", 80, "def f(a, b): return 'text'\n", INVALID, &["expected"]),
    python("too large a number", 40, "def f(a, b): return 1 << 70\n", INVALID, &["result"]),
    python(
        "random bytes without end",
        20,
        "import os\ndef f(a, b):\n    while True: os.urandom(4096)\n",
        LIMITED,
        &["fuel"],
    ),
    python(
        "files without end",
        20,
        "def f(a, b):\n    i = 0\n    while True:\n        i += 1\n        open(f'/tmp/{i}', \
        'w').write('x' * 10000)\n",
        LIMITED,
        &["fuel", "memory"],
    ),
    python(
        "print",
        40,
        "def f(a, b):\n    for _ in range(20): print('x' * 10000)\n    return 1\n",
        &[Code::Ok],
        &[""],
    ),
    python(
        "sleep",
        1,
        "import time\ndef f(a, b): time.sleep(1e9)\n",
        &[Code::DeadlineExceeded],
        &["deadline_ms"],
    ),
    python("spin at import", 1, "while True: pass\n", LIMITED, &["fuel"]),
    Kind {
        name: "too large a result",
        weight: 10,
        manner: Manner::Call { result: "VARCHAR NULL", code: "def f(a, b): return 'x' * (2 << 20)\n" },
        codes: LIMITED,
        words: &["output_bytes", "fuel"],
    },
    Kind {
        name: "residue",
        weight: 80,
        manner: Manner::Zero {
            code: "import builtins, os, sys\nkeep = []\ndef f(a, b):\n    found = len(keep) + \
                hasattr(builtins, 'mark') + len(os.listdir('/tmp')) + ('MARK' in os.environ)\n    \
                builtins.mark = 1\n    os.environ['MARK'] = '1'\n    keep.append(b'mark' * 100000)\n    \
                open('/tmp/mark', 'w').write('mark')\n    return found\n",
        },
        codes: &[Code::Ok],
        words: &[""],
    },
    wire("goes away", 60, Manner::Cancel, &[Code::Cancelled], &[""]),
    wire("half open", 40, Manner::HalfOpen, &[Code::Cancelled], &[""]),
    wire("never reads", 20, Manner::NeverRead, &[Code::Cancelled], &[""]),
    wire("no Arrow", 60, Manner::Garbage, INVALID, &["Arrow"]),
    wire(
        "flipped bits",
        80,
        Manner::Flip,
        &[Code::Ok, Code::InvalidArgument, Code::ResourceExhausted],
        &[""],
    ),
    wire("no token", 60, Manner::NoToken, &[Code::Unauthenticated, Code::PermissionDenied], &[""]),
    wire(
        "another tenant's token",
        60,
        Manner::OtherToken,
        &[Code::PermissionDenied, Code::InvalidArgument],
        &[""],
    ),
    wire("changed token", 60, Manner::ChangedToken, &[Code::Unauthenticated], &[""]),
    wire("no descriptor", 40, Manner::NoDescriptor, INVALID, &[""]),
    wire(
        "another function",
        40,
        Manner::OtherFunction,
        &[Code::InvalidArgument, Code::PermissionDenied],
        &[""],
    ),
    wire("no definition", 40, Manner::Definition, INVALID, &[""]),
    wire("no HTTP", 20, Manner::Socket, &[Code::Cancelled], &[""]),
];
