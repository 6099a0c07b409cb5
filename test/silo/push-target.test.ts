import { expect, test } from 'vitest'
import { pushTargetOf } from '../../src/silo/push-target.ts'

test.each([
  [
    'sip:bob@192.0.2.1;pn-provider=apns;pn-prid=00fc13adff78512',
    { provider: 'apns', prid: '00fc13adff78512', param: null },
  ],
  [
    'sip:bob@192.0.2.1:5061;transport=tls;pn-provider=fcm;pn-param=project-7;pn-prid=device-3',
    { provider: 'fcm', prid: 'device-3', param: 'project-7' },
  ],
  // What stands escaped in a URI is the service's own text.
  [
    'sips:bob@192.0.2.1;PN-Provider=webpush;pn-prid=https://push.example.com%3fid%3D1%3bx;pn-param',
    { provider: 'webpush', prid: 'https://push.example.com?id=1;x', param: null },
  ],
])('the push service, the device and more are taken from %s', (contact, target) => {
  expect(pushTargetOf(contact)).toEqual(target)
})

test.each([
  'sip:bob@192.0.2.1',
  // Asks which services there are.
  'sip:bob@192.0.2.1;pn-provider',
  'sip:bob@192.0.2.1;pn-provider=apns',
  'sip:bob@192.0.2.1;pn-provider=apns;pn-prid',
  'sip:bob@192.0.2.1;pn-prid=00fc13adff78512',
  'sip:bob;pn-provider=apns;pn-prid=1@192.0.2.1',
  'sip:bob@192.0.2.1?pn-provider=apns&pn-prid=1',
  'mailto:bob@example.org;pn-provider=apns;pn-prid=1',
  'nothing at all',
])('nobody can be woken by %s', (contact) => {
  expect(pushTargetOf(contact)).toBeNull()
})
