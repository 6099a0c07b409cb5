/** The way out for the messages of one transaction: a connection, or a UDP socket and where to send to (S-22). */
export interface SipChannel {
  /** Whether what was sent arrives unless the channel breaks (TCP, TLS, WebSocket): nothing is sent twice over it. */
  readonly reliable: boolean
  /**
   * Sends one whole message. The octets stay as they are as long as the transaction lives; who needs them longer copies
   * them. Never calls the transaction before it has returned.
   *
   * @returns false when it cannot be sent, now or ever
   */
  send(octets: Uint8Array): boolean
  /** A server transaction begins whose answers go this way, and one has ended: in between the way is kept open (S-22). */
  hold?(): void
  release?(): void
}
