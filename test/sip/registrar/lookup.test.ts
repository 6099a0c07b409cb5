import { describe, expect, test } from 'vitest'
import { eligibleContacts, isReachable } from '../../../src/sip/registrar/lookup.ts'
import type { Binding } from '../../../src/store/location-store.ts'
import { binding, connectionFlow, epoch, noon } from '../../support/location-records.ts'

/** Groups of targets, each as the names of its binding and fallbacks. */
function names(bindings: readonly Binding[], now = noon): string[][][] {
  const name = ({ contact }: Binding) => contact.slice(4, contact.indexOf('@'))
  return eligibleContacts(bindings, now, epoch).map((group) =>
    group.map(({ binding: first, fallbacks }) => [name(first), ...fallbacks.map(name)]),
  )
}

describe('where to send a request', () => {
  test('S-51: highest q first, equal q together, the latest registered first', () => {
    const bindings = [
      binding('half', { q: 500 }),
      binding('old', { registeredAt: noon - 2 }),
      binding('new', { registeredAt: noon - 1 }),
      binding('zero', { q: 0 }),
    ]
    expect(names(bindings)).toEqual([[['new'], ['old']], [['half']], [['zero']]])
  })

  test('S-71: not to what has expired, whose connection has closed, or which an earlier run had', () => {
    const bindings = [
      binding('expired', { expiresAt: noon }),
      binding('closed', { flow: connectionFlow(7), unreachable: true }),
      binding('earlier', { flow: connectionFlow(7, { epoch: 'an earlier run' }) }),
      binding('open', { flow: connectionFlow(8) }),
      binding('datagram'),
    ]
    expect(names(bindings)).toEqual([[['open'], ['datagram']]])
    expect(names(bindings, noon + 3_600_000)).toEqual([])
    expect(names([])).toEqual([])
  })

  test('S-68, S-71: what left a Path is reached by it, whatever became of the connection', () => {
    const path = ['<sip:edge.example.org;lr>']
    expect(isReachable(binding('a', { flow: connectionFlow(7, { epoch: 'an earlier run' }), path }), epoch)).toBe(true)
  })

  test('S-70: one contact of an instance at a time: its main flow, then the others, then what is no flow', () => {
    const instance = '<urn:uuid:1>'
    const bindings = [
      binding('plain', { instance, registeredAt: noon + 1 }),
      binding('second', { instance, regId: 2, registeredAt: noon }),
      binding('main', { instance, regId: 1, registeredAt: noon - 1 }),
      binding('other', { instance: '<urn:uuid:2>', registeredAt: noon - 2 }),
      binding('nobody', { registeredAt: noon - 3 }),
    ]
    expect(names(bindings)).toEqual([[['main', 'second', 'plain'], ['other'], ['nobody']]])
  })

  test('S-70: of an instance the contact with the highest q comes first, and places it among the groups', () => {
    const instance = '<urn:uuid:1>'
    const bindings = [
      binding('low', { instance, regId: 1, q: 100 }),
      binding('high', { instance, regId: 2, q: 900 }),
      binding('top', { q: 1_000 }),
    ]
    expect(names(bindings)).toEqual([[['top']], [['high', 'low']]])
  })

  test('S-70: when the main flow has closed, the next one takes its place', () => {
    const instance = '<urn:uuid:1>'
    const bindings = [
      binding('main', { instance, regId: 1, flow: connectionFlow(1), unreachable: true }),
      binding('second', { instance, regId: 2, flow: connectionFlow(2) }),
    ]
    expect(names(bindings)).toEqual([[['second']]])
  })
})
