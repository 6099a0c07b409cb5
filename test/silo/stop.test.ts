// The server as operators stop it: a process that gets SIGTERM.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { launchServer } from '../../bench/load/server-process.ts'
import { SipAgent } from '../support/sip-agent.ts'
import { passwordOf, sipDomain, temporaryFolder } from '../support/sip-server.ts'

const host = '127.0.0.1'

test.each([0, 1])('with a delivery that nobody answers and %i workers ends with 0 all the same', async (workers) => {
  const folder = await temporaryFolder()
  const config = join(folder, 'silopath.yaml')
  const users = ['alice', 'bob'].map((username) => ({ username, password: passwordOf(username) }))
  const sections = {
    data_dir: join(folder, 'data'),
    workers,
    memory_mib: 8,
    listen: [{ url: `sip://${host}:0` }],
    domains: [sipDomain],
    auth: { users },
    silo: { add_date: 0 },
    admin: false,
  }
  await writeFile(config, JSON.stringify(sections))
  const { child, ready, exited } = launchServer(config)
  onTestFinished(() => void child.kill('SIGKILL'))
  const port = Number(/:(\d+)/.exec(await ready)?.[1])
  const agentOf = async (user: string) => {
    const agent = await SipAgent.create({
      transport: 'udp',
      server: { host, port },
      user,
      password: passwordOf(user),
      domain: sipDomain,
    })
    onTestFinished(() => agent.close())
    expect((await agent.register({ expires: user === 'bob' ? 0 : 60 })).status).toBe(200)
    return agent
  }
  const alice = await agentOf('alice')
  const bob = await agentOf('bob')
  expect((await alice.message(`sip:bob@${sipDomain}`, 'unanswered')).status).toBe(202)
  expect((await bob.register()).status).toBe(200)
  await bob.expect('MESSAGE')
  child.kill('SIGTERM')
  expect(await exited).toEqual([0, null])
})
