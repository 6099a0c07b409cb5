/** Stable codes of the errors a caller of the public API can act on. */
export type SilopathErrorCode =
  | 'CONFIG_INVALID'
  | 'LISTEN_FAILED'
  | 'STORE_UNAVAILABLE'
  | 'KERNEL_MISSING'
  | 'ADMIN_UNREACHABLE'
  | 'ADMIN_REFUSED'
  | 'EXPORT_FAILED'
  | 'TABLE_INVALID'
  | 'IMPORT_INCOMPLETE'

/**
 * An error that an operator can do something about: the message says what went wrong and the remedy. Mistakes of peers
 * are never errors but values (see `ParseErrorClass`); broken invariants of our own are `AssertionError`s.
 */
export class SilopathError extends Error {
  readonly code: SilopathErrorCode

  constructor(code: SilopathErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SilopathError'
    this.code = code
  }
}

/** The outcome of an operation that a peer or an operator can make fail. */
export type Result<Value, Failure> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly error: Failure }
