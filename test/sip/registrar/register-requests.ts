import type { RegisterOptions } from '../../../src/sip/registrar/bindings.ts'
import type { RegisterContact, RegisterRequest } from '../../../src/sip/registrar/register-request.ts'
import { aliceAor, epoch, udpFlow } from '../../support/location-records.ts'

export const options: RegisterOptions = {
  minExpires: 60,
  maxExpires: 7_200,
  defaultExpires: 3_600,
  maxContacts: 4,
  epoch,
}

/** A contact as a REGISTER gives it, its URI made from `name`. */
export function contact(name: string | number, changes: Partial<RegisterContact> = {}): RegisterContact {
  return {
    uri: `sip:${name}@192.0.2.7:5062`,
    params: [],
    q: 1_000,
    expires: 600,
    instance: null,
    regId: null,
    methods: null,
    ...changes,
  }
}

/** A contact that is to be a flow of an instance (S-69). */
export function flowContact(name: string | number, regId: number, changes: Partial<RegisterContact> = {}) {
  const instance = '<urn:uuid:00000000-0000-1000-8000-000a95a0e128>'
  return contact(name, { instance, regId, params: [`+sip.instance="${instance}"`, `reg-id=${regId}`], ...changes })
}

/** A REGISTER of alice, straight from her user agent over UDP. */
export function registerRequest(
  contacts: RegisterRequest['contacts'],
  changes: Partial<RegisterRequest> = {},
): RegisterRequest {
  return {
    aor: aliceAor,
    callId: 'call-1',
    cseq: 1,
    contacts,
    expires: null,
    path: [],
    pathKeepsFlows: false,
    firstHop: true,
    supportsOutbound: false,
    userAgent: null,
    source: { flow: udpFlow(), secure: false, received: '192.0.2.7:5062' },
    ...changes,
  }
}
