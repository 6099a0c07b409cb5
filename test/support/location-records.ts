import type { ConnectionId, LaneIndex } from '../../src/ids.ts'
import type { Binding, ConnectionFlow, UdpFlow } from '../../src/store/location-store.ts'

export const aliceAor = 'sip:alice@example.org'
export const noon = Date.UTC(2026, 0, 1, 12)
export const epoch = 'this run'

/** The flow of a connection of this run. */
export function connectionFlow(connection: number, changes: Partial<ConnectionFlow> = {}): ConnectionFlow {
  return { kind: 'connection', connection: connection as ConnectionId, lane: 0 as LaneIndex, epoch, ...changes }
}

export function udpFlow(changes: Partial<UdpFlow> = {}): UdpFlow {
  return { kind: 'udp', listener: 1, address: '192.0.2.7', port: 5_062, ...changes }
}

/** A binding whose contact is made from `name`: live for an hour from noon on, registered over UDP. */
export function binding(name: string | number, changes: Partial<Binding> = {}): Binding {
  return {
    version: 1,
    aor: aliceAor,
    contact: `sip:${name}@192.0.2.7:5062`,
    params: [],
    q: 1_000,
    callId: 'call-1',
    cseq: 1,
    expiresAt: noon + 3_600_000,
    path: [],
    instance: null,
    regId: null,
    flow: udpFlow(),
    unreachable: false,
    received: '192.0.2.7:5062',
    userAgent: null,
    methods: null,
    registeredAt: noon,
    ...changes,
  }
}
