import { randomBytes } from 'node:crypto'
import { type Config, completeConfig, configSchema } from './schema.ts'

export interface DemoUser {
  readonly username: string
  readonly password: string
}

/**
 * What runs without a config file: the defaults (a listener on the loopback address, domain `localhost`, ./data) and two
 * users with fresh random passwords, to try the relay with.
 */
export function demoConfig(): { readonly config: Config; readonly users: readonly DemoUser[] } {
  const users = ['alice', 'bob'].map((username) => ({ username, password: randomBytes(12).toString('hex') }))
  return { config: completeConfig(configSchema.parse({ auth: { users } }), process.cwd()), users }
}
