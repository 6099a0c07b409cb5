// A phone that sleeps, the hook that wakes it, and a sender who waits: RFC 8599 all the way.
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import type { SipAgent } from '../support/sip-agent.ts'
import { eventually, sipDomain, startSip } from '../support/sip-server.ts'

const secret = 'a secret of sixteen or more'
const bobUri = `sip:bob@${sipDomain}`

interface Told {
  readonly type: string
  readonly owner: string
  readonly push?: readonly { readonly provider: string; readonly prid: string; readonly param: string | null }[]
}

/** A receiver of hooks, and what it has been told with a good signature. */
async function receiver(onEvent: (event: Told) => void) {
  const server = createServer(async (request, response) => {
    const body = await text(request)
    const [, time = '', signature = ''] =
      /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(request.headers['silopath-signature'])) ?? []
    const expected = createHmac('sha256', secret).update(`${time}.${body}`).digest('hex')
    response.writeHead(signature === expected ? 200 : 403).end()
    if (signature === expected) for (const event of JSON.parse(body).events) onEvent(event)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
}

/** The contact of a phone that can be woken. */
function pushContact({ contact }: SipAgent): string {
  return contact.replace('>', ';pn-provider=fcm;pn-prid=the-token;pn-param=app>')
}

const config = (url: string, push_wait_seconds: number) => ({
  silo: { add_date: 0, push_wait_seconds, hooks: { url, secret, batch_wait: 0 } },
})

test.each([0, 2])(
  'a phone that sleeps is woken by the hook, and the sender hears 200 when it has taken the message (SILO-36; workers: %i)',
  async (workers) => {
    const told: Told[] = []
    const wakeUp = Promise.withResolvers<void>()
    const url = await receiver((event) => {
      told.push(event)
      if (event.type === 'message.stored') wakeUp.resolve()
    })
    const bed = await startSip({ own: true, workers, config: config(url, 20) })
    const alice = await bed.online('alice', 'tcp')
    const asleep = await bed.agent('bob', 'tcp')
    await asleep.register({ contacts: [pushContact(asleep)] })
    await asleep.close()

    const answer = alice.message(bobUri, 'wake up', { timeoutMs: 20_000 })
    await wakeUp.promise
    const awake = await bed.agent('bob', 'tcp')
    const texts: string[] = []
    awake.on('MESSAGE', (request) => {
      texts.push(request.message.text)
      request.reply(200)
    })
    await awake.register({ contacts: [pushContact(awake)] })
    expect((await answer).status).toBe(200)
    expect(texts).toEqual(['wake up'])
    await eventually(() => told.map(({ type }) => type)).toEqual([
      'user.registered',
      'user.registered',
      'message.stored',
      'user.registered',
      'message.delivered',
    ])
    const stored = told.find(({ type }) => type === 'message.stored')!
    expect(stored).toMatchObject({ owner: bobUri, push: [{ provider: 'fcm', prid: 'the-token', param: 'app' }] })
    // Neither the text nor the secret is anywhere.
    expect(JSON.stringify(told)).not.toContain('wake up')
    expect(bed.log.join()).not.toContain(secret)
  },
)

test('who does not wake up in time gets it later; the sender hears 202 by then (SILO-36)', async () => {
  const url = await receiver(() => {})
  const bed = await startSip({ own: true, config: config(url, 1) })
  const alice = await bed.online('alice', 'tcp')
  const asleep = await bed.agent('bob', 'tcp')
  await asleep.register({ contacts: [pushContact(asleep)] })
  await asleep.close()
  expect((await alice.message(bobUri, 'later', { timeoutMs: 20_000 })).status).toBe(202)
  const awake = await bed.agent('bob', 'tcp')
  const arrived = new Promise<string>((resolve) => {
    awake.on('MESSAGE', (request) => {
      resolve(request.message.text)
      request.reply(200)
    })
  })
  await awake.register({ contacts: [pushContact(awake)] })
  expect(await arrived).toBe('later')
})
