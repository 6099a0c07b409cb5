declare const brand: unique symbol
type Branded<Base, Name extends string> = Base & { readonly [brand]: Name }

/** A slot in the connection table, 0 … max_connections - 1. Reused; says nothing without its generation. */
export type ConnectionSlot = Branded<number, 'ConnectionSlot'>

/**
 * One connection, never reused within 2^11 generations of its slot: generation << 20 | slot, a positive 31-bit integer
 * (small integers stay out of V8's heap). 0 is never a connection.
 */
export type ConnectionId = Branded<number, 'ConnectionId'>

/** Index of a lane (what a worker runs): 0 … lanes - 1. */
export type LaneIndex = Branded<number, 'LaneIndex'>

/** An address (octet offset) in the shared WebAssembly memory. */
export type Address = Branded<number, 'Address'>

/** A message of the silo: counted up from 1, never given out twice. Messages of one owner are delivered in this order. */
export type MessageId = Branded<number, 'MessageId'>
