// What the kernel (AssemblyScript) and TypeScript agree on about SIP: the index of one message. Compiled by both, so it
// holds nothing but numeric constants.
//
// The index stands in an area of SIP_INDEX_OCTETS octets, at an address that every call names. Word numbers count 32-bit
// words from its start. Positions are offsets from the first octet of the message (its start line), so that a copy of
// the index goes with a copy of the message.

/** SIP_NONE, SIP_REQUEST or SIP_RESPONSE. */
export const SI_KIND = 0
/** 0, or one of SIP_FAULT_*: the first fault found. A fault that ends a stream takes the place of any other. */
export const SI_FAULT = 1
/** Requests: the method. */
export const SI_METHOD_LENGTH = 2
/** Requests: the Request-URI, without blanks around it. */
export const SI_URI = 3
export const SI_URI_LENGTH = 4
/** Responses: the code, and the reason phrase. */
export const SI_STATUS = 5
export const SI_REASON = 6
export const SI_REASON_LENGTH = 7
/** Where the first header line begins; 0 while the start line has not ended. */
export const SI_HEADERS = 8
/** Where the last header line ends, and the empty line begins. */
export const SI_HEADERS_END = 9
/** The first body octet. */
export const SI_HEAD_END = 10
/** Length of the whole message. */
export const SI_END = 11
/** Entries in the header table. */
export const SI_HEADER_COUNT = 12
/** Address of the first octet of the message. */
export const SI_START = 13
/** Which well-formed headers there are, a bit for each SIP_H_* but SIP_H_OTHER. */
export const SI_SEEN = 14
/** 1: no header is folded (S-2). */
export const SI_UNFOLDED = 15
/** 1: the head is all ASCII. */
export const SI_ASCII = 16
/** Requests: the method, SIP_M_*. */
export const SI_METHOD = 17
/** The first Max-Forwards, at most 2^31 - 1; -1: there is none, -2: it is no number. */
export const SI_MAX_FORWARDS = 18

/**
 * 1: Via, From, To, Call-ID and CSeq are well formed, and written as most are; what they say stands in the words below.
 * 0: whoever wants to know reads the values.
 */
export const SI_READ = 19
/** An unsigned number, and SIP_M_*. */
export const SI_CSEQ = 20
export const SI_CSEQ_METHOD = 21
/** Lines of Via, each with one value; all that follow are of the first one. */
export const SI_VIAS = 22
export const SI_VIA_HOST = 23
export const SI_VIA_HOST_LENGTH = 24
/** 0: none. */
export const SI_VIA_PORT = 25
/** Of a parameter that there is not the length is 0. */
export const SI_VIA_BRANCH = 26
export const SI_VIA_BRANCH_LENGTH = 27
/** `;rport` with the value it may have. */
export const SI_VIA_RPORT = 28
export const SI_VIA_RPORT_LENGTH = 29
/** 1: it has a `received`, a `maddr`, or a value of `rport`, which one has to read. */
export const SI_VIA_SPECIAL = 30
export const SI_FROM_URI = 31
export const SI_FROM_URI_LENGTH = 32
export const SI_FROM_TAG = 33
export const SI_FROM_TAG_LENGTH = 34
export const SI_TO_URI = 35
export const SI_TO_URI_LENGTH = 36
export const SI_TO_TAG = 37
export const SI_TO_TAG_LENGTH = 38

// Limits, set once by TypeScript, in octets and counts.
export const SI_START_LINE_MAX = 39
/** One header line with its continuation lines, without its last CRLF. */
export const SI_HEADER_LINE_MAX = 40
/** Start line to empty line, both included. */
export const SI_HEAD_MAX = 41
/** At most SIP_HEADERS_MAX. */
export const SI_HEADERS_MAX = 42
export const SI_BODY_MAX = 43

/** First word of the header table: entries of SIP_HEADER_WORDS words. */
export const SI_TABLE = 44
export const SIP_HEADER_WORDS = 5
/** Words of an entry: SIP_H_*, where the line and its name begin, the name's length, the value without blanks around it. */
export const SH_ID = 0
export const SH_NAME = 1
export const SH_NAME_LENGTH = 2
export const SH_VALUE = 3
export const SH_VALUE_LENGTH = 4

export const SIP_HEADERS_MAX = 512
/** (SI_TABLE + SIP_HEADERS_MAX * SIP_HEADER_WORDS) * 4, rounded up to 16. */
export const SIP_INDEX_OCTETS = 10416

export const SIP_NONE = 0
export const SIP_REQUEST = 1
export const SIP_RESPONSE = 2

// What `sip` reads.
/** A datagram or a WebSocket message: there will be no more octets (S-5). */
export const SIP_WHOLE = 0
export const SIP_STREAM = 1

// What `sip` returns.
/** SIP_STREAM: the head has not ended. */
export const SIP_INCOMPLETE_HEAD = 0
export const SIP_COMPLETE = 1
/** SIP_STREAM: the body has not ended; SI_END tells where it will. */
export const SIP_INCOMPLETE_BODY = 2
/** SIP_STREAM: nobody can tell where the next message begins (S-5); SI_FAULT tells why. */
export const SIP_BROKEN = 3

// Faults: 1 + their index in the table of problem.ts.
export const SIP_FAULT_NOT_SIP = 1
export const SIP_FAULT_START_LINE = 2
export const SIP_FAULT_VERSION = 3
export const SIP_FAULT_STATUS = 4
export const SIP_FAULT_START_LINE_LIMIT = 5
export const SIP_FAULT_HEADER_LIMIT = 6
export const SIP_FAULT_HEAD_LIMIT = 7
export const SIP_FAULT_HEADERS_LIMIT = 8
export const SIP_FAULT_HEADER_LINE = 9
export const SIP_FAULT_TRUNCATED_HEAD = 10
export const SIP_FAULT_DUPLICATE = 11
export const SIP_FAULT_MISSING = 12
export const SIP_FAULT_CONTENT_LENGTH = 13
export const SIP_FAULT_TRUNCATED_BODY = 14
export const SIP_FAULT_BODY_LIMIT = 15

// Known headers. 0 is an unknown one, whose name has to be looked at.
export const SIP_H_OTHER = 0
export const SIP_H_VIA = 1
export const SIP_H_FROM = 2
export const SIP_H_TO = 3
export const SIP_H_CALL_ID = 4
export const SIP_H_CSEQ = 5
export const SIP_H_MAX_FORWARDS = 6
export const SIP_H_CONTENT_LENGTH = 7
export const SIP_H_CONTACT = 8
export const SIP_H_ROUTE = 9
export const SIP_H_RECORD_ROUTE = 10
export const SIP_H_PATH = 11
export const SIP_H_EXPIRES = 12
export const SIP_H_CONTENT_TYPE = 13
export const SIP_H_CONTENT_ENCODING = 14
export const SIP_H_SUPPORTED = 15
export const SIP_H_REQUIRE = 16
export const SIP_H_PROXY_REQUIRE = 17
export const SIP_H_AUTHORIZATION = 18
export const SIP_H_PROXY_AUTHORIZATION = 19
export const SIP_H_SUBJECT = 20
export const SIP_H_EVENT = 21
export const SIP_H_REFER_TO = 22
export const SIP_H_REFERRED_BY = 23
export const SIP_H_ALLOW_EVENTS = 24
export const SIP_H_ACCEPT_CONTACT = 25
export const SIP_H_REJECT_CONTACT = 26
export const SIP_H_REQUEST_DISPOSITION = 27
export const SIP_H_SESSION_EXPIRES = 28
export const SIP_H_IDENTITY = 29
/** A line that is no header: no colon, no token before it, or a CR or LF of its own in it. */
export const SIP_H_MALFORMED = 30

// Methods that IANA lists. 0 is another one, whose name has to be looked at.
export const SIP_M_OTHER = 0
export const SIP_M_ACK = 1
export const SIP_M_BYE = 2
export const SIP_M_CANCEL = 3
export const SIP_M_INFO = 4
export const SIP_M_INVITE = 5
export const SIP_M_MESSAGE = 6
export const SIP_M_NOTIFY = 7
export const SIP_M_OPTIONS = 8
export const SIP_M_PRACK = 9
export const SIP_M_PUBLISH = 10
export const SIP_M_REFER = 11
export const SIP_M_REGISTER = 12
export const SIP_M_SUBSCRIBE = 13
export const SIP_M_UPDATE = 14
