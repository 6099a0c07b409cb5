// What the kernel (AssemblyScript) and TypeScript agree on: the frame record and the layout of the tables that both
// touch. Compiled by both, so it holds nothing but numeric constants.
//
// The kernel writes one frame record at a time, at the start of its lane's scratch area. Word numbers count 32-bit
// words. "Address" is an octet offset in the shared memory; a length goes with it unless said otherwise.

/** Kind of frame: one of KIND_*. */
export const R_KIND = 0
/** 0, or 1 + the index of the error class in `parseErrorClasses` (M-60). */
export const R_ERROR = 1
/** Address of the first octet of the start line. */
export const R_START = 2
export const R_TID = 3
export const R_TID_LENGTH = 4
/** Requests: the method. */
export const R_METHOD = 5
export const R_METHOD_LENGTH = 6
/** Responses: the code, 0 … 999. */
export const R_STATUS = 7
/** Responses: the comment; length -1 when there is none (M-2). */
export const R_COMMENT = 8
export const R_COMMENT_LENGTH = 9
/** Address after the empty line (= first body octet), or of the end-line of a bodiless frame. */
export const R_HEAD_END = 10
/** 1: the head ended in an empty line. */
export const R_HAS_BODY = 11
export const R_BODY_LENGTH = 12
/** The flag octet of the end-line: `+`, `$` or `#` (M-6). */
export const R_FLAG = 13
/** Address after the frame's last octet. */
export const R_END = 14
/** To-Path: value, count of URIs; the URIs stand in the table at TO_URIS. */
export const R_TO = 15
export const R_TO_LENGTH = 16
export const R_TO_COUNT = 17
export const R_FROM = 18
export const R_FROM_LENGTH = 19
/** Count of URIs in From-Path; 0 when it is missing or not parsable (M-61). */
export const R_FROM_COUNT = 20
/** Address of the header line after From-Path: what is forwarded octet for octet starts here. */
export const R_REST = 21
/** Message-ID value; address 0 when absent. */
export const R_MESSAGE_ID = 22
export const R_MESSAGE_ID_LENGTH = 23
/** Byte-Range value; address 0 when absent. */
export const R_RANGE = 24
export const R_RANGE_LENGTH = 25
/** Byte-Range numbers as float64 (two words each); -1 for `*`. */
export const R_RANGE_START = 26
export const R_RANGE_END = 28
export const R_RANGE_TOTAL = 30
/** One of REPORT_*: the effective value (M-30); -1 when every value given was malformed. */
export const R_FAILURE_REPORT = 32
/** 1: yes (M-30). */
export const R_SUCCESS_REPORT = 33
/** REPORT's Status: namespace * 1000 + code; -1 when absent. */
export const R_STATUS_HEADER = 34
/** Expires as float64 seconds; -1 when absent. */
export const R_EXPIRES = 36
/** Entries in the header table at HEADERS. */
export const R_HEADER_COUNT = 38
/** 1: a path holds runs of blanks between URIs that must be emitted as one SP (M-27). */
export const R_PATH_BLANKS = 39
/** After an incomplete read: where the search for the end-line goes on. */
export const R_RESUME = 40
/** `session` found: connection and expiry second of the entry. */
export const R_SESSION_CONNECTION = 41
export const R_SESSION_EXPIRES = 42
/** `transaction` found: lane and slot named by the transaction id, and T_STATE from before the ids were compared. */
export const R_TRANSACTION_LANE = 43
export const R_TRANSACTION_SLOT = 44
export const R_TRANSACTION_STATE = 45
/** `home`: 1 when the second To-Path URI certainly names somebody else. */
export const R_NEXT_FOREIGN = 48
/** `transaction`: 1 when the first To-Path URI is written as we hand URIs out. */
export const R_TO_OURS = 49
/** Where what `relay` wrote ends: the frame, and the 200. */
export const R_FORWARD_END = 46
export const R_OK_END = 47

export const KIND_SEND = 0
export const KIND_REPORT = 1
export const KIND_AUTH = 2
export const KIND_OTHER = 3
export const KIND_RESPONSE = 4

export const REPORT_YES = 0
export const REPORT_NO = 1
export const REPORT_PARTIAL = 2

/** What `frame` returns. */
export const FRAME_INCOMPLETE_HEAD = 0
export const FRAME_COMPLETE = 1
export const FRAME_INCOMPLETE_BODY = 2
export const FRAME_BAD_START_LINE = 3
export const FRAME_HEADER_LIMIT = 4

// M-44, in octets and counts.
export const START_LINE_MAX = 1024
export const HEADER_LINE_MAX = 16384
export const HEAD_MAX = 65536
export const HEADERS_MAX = 1024
export const PATH_URIS_MAX = 64
/** The longest end-line with the CRLF before it: CRLF, 7 hyphens, 32 octets of tid, flag, CRLF (M-10). */
export const END_LINE_MAX = 44

// Scratch area of a lane, octets from its start: the record, the URIs of both paths (address and end of each), the
// header table, limits, and the prefixes of the URIs we hand out.
export const TO_URIS = 256
export const FROM_URIS = 768
/** Header entries of HEADER_WORDS words: id, name address, name length, value address, value length. */
export const HEADERS = 1280
export const HEADER_WORDS = 5
/** HEADERS + HEADERS_MAX * HEADER_WORDS * 4. */
export const PREFIXES = 21760
/** Each prefix: one word of length, then the octets. Up to PREFIXES_MAX of them, ended by a length of 0. */
export const PREFIX_OCTETS = 288
export const PREFIXES_MAX = 8
/** PREFIXES + PREFIX_OCTETS * (PREFIXES_MAX + 1), rounded up. */
export const LIMITS = 24384
/** Random octets for transaction ids, filled by TypeScript, used up from the front. */
export const RANDOM = 24448
export const RANDOM_OCTETS = 8192
/**
 * What names us: `host:port` in lower case, each one word of length, then the octets; ended by a length of 0.
 */
export const NAMES = 32640
export const NAME_OCTETS = 288
export const NAMES_MAX = 32
/** The path lines of the frame read last: see memo.ts. */
export const MEMO = 42240
export const MEMO_OCTETS = 1024
/** Room for an id that is looked for, or made and not kept: 128 octets. */
export const TEXT = 43584
/** What `relayRun` and `settleRun` work on: words RUN_*. */
export const RUN = 43712
/** The header lines behind the Message-ID of the frame read last: see memo.ts. */
export const TAIL = 43840
export const TAIL_OCTETS = 256
/** TAIL, its text and margin, the words and the header entries kept of it; rounded up. */
export const SCRATCH_OCTETS = 44288

// Words of RUN, set once a lane: its index; where the connections are, and the control words and texts of lane 0's
// transactions (those of other lanes follow by L_TRANSACTIONS_STRIDE); octets of body that may go on.
export const RUN_LANE = 0
export const RUN_CONNECTIONS = 1
export const RUN_CONTROL = 2
export const RUN_TEXTS = 3
export const RUN_BODY_MAX = 4
// Kept up to date by whoever takes and frees: the free transactions that no other lane sees, linked by T_NEXT, and how many
// have been begun and not come back to that list, modulo 2^32.
export const RUN_FREE = 5
export const RUN_BEGUN = 6
// `relayRun`: where the next frame and the next 200 go and where the room for them ends; most frames; random octets; the
// connections that frames come from and go to, what is queued for the latter, and the URIs of ours that they visit.
export const RUN_TO = 8
export const RUN_TO_END = 9
export const RUN_OK_TO = 10
export const RUN_OK_END = 11
export const RUN_MOST = 12
export const RUN_RANDOM = 13
export const RUN_FROM = 14
export const RUN_OUT = 15
export const RUN_POSITION = 16
export const RUN_VISITED = 17
/** Result of both: frames, and their octets. */
export const RUN_FRAMES = 18
export const RUN_OCTETS = 19

/** By how many octets a frame may grow on its way: another transaction id (twice), and the words around the paths. */
export const FORWARD_GROWTH = 192

// Words of LIMITS.
export const L_START_LINE = 0
export const L_HEADER_LINE = 1
export const L_HEAD = 2
export const L_HEADERS = 3
export const L_PATH_URIS = 4

// Known headers: ids in the header table. 0 is an unknown header.
export const H_OTHER = 0
export const H_TO_PATH = 1
export const H_FROM_PATH = 2
export const H_MESSAGE_ID = 3
export const H_BYTE_RANGE = 4
export const H_SUCCESS_REPORT = 5
export const H_FAILURE_REPORT = 6
export const H_STATUS = 7
export const H_EXPIRES = 8
export const H_MIN_EXPIRES = 9
export const H_MAX_EXPIRES = 10
export const H_USE_PATH = 11
export const H_CONTENT_TYPE = 12
export const H_AUTHENTICATION_INFO = 13
export const H_USE_NICKNAME = 14
/** Headers from here on may repeat (M-39). */
export const H_AUTHORIZATION = 15
export const H_WWW_AUTHENTICATE = 16
/** Any other header whose name starts with Content-. */
export const H_MIME = 17

// Transaction ids and session-ids name a table slot: one character for the lane, four for the slot, in a 64-character
// alphabet that both grammars allow; the rest is secret (M-4, U-8).
export const LANES_MAX = 62
export const SLOTS_MAX = 16777216
export const TID_OCTETS = 16
export const TID_SECRET_OCTETS = 11
export const SESSION_ID_OCTETS = 27

// A session entry (64 octets). Words; the id's text stands at SESSION_ID octets from the entry's start.
export const SESSION_OCTETS = 64
/** Live generation * 2 + 1, or an even number when the entry is free. */
export const S_STATE = 0
export const S_CONNECTION = 1
/** Seconds since the server's epoch. */
export const S_EXPIRES = 2
/**
 * Hash of the first From-Path URI of S_PEER's requests, seeded with S_PEER: lanes that set the two words at the same time
 * leave at worst a pair that fits nobody.
 */
export const S_PEER_HASH = 3
/** The connection that last sent to this session from outside; 0 none. What the client answers goes there (M-80). */
export const S_PEER = 11
export const SESSION_ID = 16
export const S_FRAMES_FROM = 12
export const S_OCTETS_FROM = 13
export const S_FRAMES_TO = 14
export const S_OCTETS_TO = 15

// A transaction is a record of one cache line, which every response touches, and its texts in a table of their own,
// which only REPORTs need. With the texts between them, records would share an eighth of the cache. Words:
export const TRANSACTION_OCTETS = 64
export const T_STATE = 0
export const T_NEXT = 1
export const T_OUT_CONNECTION = 2
export const T_IN_CONNECTION = 3
/** The transaction id we sent: TID_OCTETS octets at octet 16. */
export const T_TID = 16
/** Milliseconds since the server's epoch, once the octets have left. */
export const T_DEADLINE = 8
/** The outgoing connection's count of queued octets when this frame was added, modulo 2^32. */
export const T_POSITION = 9
/** Kind of frame, effective Failure-Report << 8, and our URIs that the request visited (R-16) << 16. */
export const T_WHAT = 10
export const T_BODY_LENGTH = 11
export const T_MESSAGE_ID_LENGTH = 12
export const T_URI_LENGTH = 13
export const T_FROM_LENGTH = 14
/** Address of the texts: in the table of texts, or of a segment when they do not fit there. */
export const T_TEXTS = 15

/**
 * Texts of a transaction. A SEND: Byte-Range start and total as float64 (start 0 when it had none), then Message-ID, our
 * visited URIs, From-Path; any other request: 16 octets unused, then the upstream transaction id. The last 16 are margin.
 */
export const TEXTS_OCTETS = 448
export const TEXTS_HEAD = 16
/** Octets of text that fit: TEXTS_OCTETS - TEXTS_HEAD - 16. */
export const TEXTS_MAX = 416

// What is shared of a transaction's state: generation << 2 | one of these (see msrp/transactions.ts).
export const T_FREE = 0
export const T_SENDING = 1
export const T_WAITING = 2
export const T_CLAIMED = 3
export const T_GENERATION = 4
export const T_STATE_MASK = 0x7fffffff
// Control words of a lane's transactions: the records that other lanes have freed, how many they were (modulo 2^32), and
// records ever used.
export const TRANSACTIONS_FREE_LIST = 0
export const TRANSACTIONS_FREED = 1
export const TRANSACTIONS_USED = 2

// What is shared of a connection (see workers/connections.ts): octets, bits of the id that are the slot, and the words used here.
export const CONNECTION_OCTETS = 32
export const CONNECTION_SLOT_MASK = 0xfffff
export const CONNECTION_ID = 0
export const CONNECTION_SETTLED = 7

// Table addresses, in the words after LIMITS, set once per lane.
export const L_LANES = 8
export const L_SESSIONS_FIRST = 9
export const L_SESSIONS_STRIDE = 10
export const L_SESSIONS_MAX = 11
export const L_TRANSACTIONS_FIRST = 12
export const L_TRANSACTIONS_STRIDE = 13
export const L_TRANSACTIONS_MAX = 14
