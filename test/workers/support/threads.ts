import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { onTestFinished } from 'vitest'

/** Starts a thread that ends with the test, and says what it answers with its one message. */
export function startThread<Answer>(file: URL, workerData: unknown): Promise<Answer> {
  const worker = new Worker(file, { workerData })
  onTestFinished(async () => {
    await worker.terminate()
  })
  // `once` rejects with what the thread throws.
  return once(worker, 'message').then(([answer]) => answer as Answer)
}

/**
 * Runs what draws on a seed, and names the seed when it fails or takes too long: SILOPATH_TEST_SEED runs it again.
 * @param patienceMs less than the test's own limit
 */
export async function seeded<Result>(run: (seed: number) => Promise<Result>, patienceMs = 20_000): Promise<Result> {
  const given = process.env.SILOPATH_TEST_SEED
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  const patience = Promise.withResolvers<never>()
  const timer = setTimeout(() => patience.reject(new Error(`not done within ${patienceMs} ms`)), patienceMs)
  try {
    return await Promise.race([run(seed), patience.promise])
  } catch (error) {
    const { message } = error as Error
    throw new Error(`with SILOPATH_TEST_SEED=${seed}: ${message}`, { cause: error })
  } finally {
    clearTimeout(timer)
  }
}
