// What can be wrong with a SIP message, and what its receiver does about it (S-1 … S-13).

/** What the rules give a request: a final response, or silence. A faulty response is dropped whatever is wrong with it. */
export type SipAnswer = { readonly status: number; readonly reason: string } | 'drop'

const tooLarge = { status: 513, reason: 'Message Too Large' } as const

const answers = {
  /** No start line of SIP: whoever sent it does not expect an answer of SIP. */
  'not-sip': 'drop',
  /** Request line with more or less than one SP between its parts; status line that is none (S-1, S-13). */
  'bad-start-line': { status: 400, reason: 'Bad Start Line' },
  /** Any version but SIP/2.0 (S-1). */
  'bad-version': { status: 505, reason: 'Version Not Supported' },
  /** A response code outside 100-699 (S-13). */
  'bad-status': 'drop',
  /** A request line over the limit. */
  'start-line-too-long': tooLarge,
  'header-too-long': tooLarge,
  'head-too-large': tooLarge,
  'too-many-headers': tooLarge,
  /** A line that is no header: without a colon, a token before it, or with a CR or LF of its own. */
  'bad-header-line': { status: 400, reason: 'Bad Header Line' },
  /** A datagram that ends before the empty line. */
  'truncated-head': { status: 400, reason: 'Missing Empty Line' },
  /** Call-ID, To, From, CSeq or Max-Forwards more than once (S-6). */
  'duplicate-header': { status: 400, reason: 'Duplicate Header' },
  /** No To, From, CSeq, Call-ID or Via (S-6). */
  'missing-header': { status: 400, reason: 'Missing Required Header' },
  /** Content-Length absent from a stream, no number, or one that contradicts another (S-5). */
  'bad-content-length': { status: 400, reason: 'Bad Content-Length' },
  /** A datagram with fewer octets than its Content-Length says (S-5). */
  'truncated-body': { status: 400, reason: 'Body Shorter Than Content-Length' },
  'body-too-large': { status: 413, reason: 'Request Entity Too Large' },
  /** A sip or sips Request-URI outside the grammar, with headers, or within <> (S-13); no URI at all. */
  'bad-request-uri': { status: 400, reason: 'Bad Request-URI' },
  'bad-via': { status: 400, reason: 'Bad Via' },
  'bad-from': { status: 400, reason: 'Bad From' },
  'bad-to': { status: 400, reason: 'Bad To' },
  'bad-call-id': { status: 400, reason: 'Bad Call-ID' },
  /** No number below 2^32 and method (S-7). */
  'bad-cseq': { status: 400, reason: 'Bad CSeq' },
  /** CSeq of a known method names another one (S-7). */
  'cseq-method': { status: 400, reason: 'CSeq Method Does Not Match' },
  /** CSeq of a method that nobody knows names another one (S-7). */
  'unknown-cseq-method': { status: 501, reason: 'Not Implemented' },
  /** Max-Forwards that is no number; one over 255 counts as absent (S-7). */
  'bad-max-forwards': { status: 400, reason: 'Bad Max-Forwards' },
  'bad-contact': { status: 400, reason: 'Bad Contact' },
  'bad-route': { status: 400, reason: 'Bad Route' },
  /** REGISTER only: nobody else looks at it. */
  'bad-path': { status: 400, reason: 'Bad Path' },
  /** A Request-URI that is neither sip nor sips (S-11). */
  'unsupported-scheme': { status: 416, reason: 'Unsupported URI Scheme' },
} as const satisfies Record<string, SipAnswer>

/** The fault of a message; see `answers` for each. The order is that in which they are looked for. */
export type SipProblem = keyof typeof answers

/** All problems, in the order in which they are looked for: the kernel's faults come first, and count from 1. */
export const sipProblems = Object.keys(answers) as readonly SipProblem[]

/** What a request with this problem is answered. An ACK is never answered, and neither is a response. */
export function answerOf(problem: SipProblem): SipAnswer {
  return answers[problem]
}
