import { TransientMap } from '../transient-map.ts'
import { Batch } from './batch.ts'
import type { Numbered } from './lane-port.ts'

/** Questions to the primary thread that it has yet to answer. Those of one turn go together. */
export class Asking<Question, Answer> {
  readonly #unanswered = new TransientMap<number, (answer: Answer) => void>()
  readonly #batch: Batch<Numbered<Question>>
  #last = 0

  constructor(post: (requests: readonly Numbered<Question>[]) => void) {
    this.#batch = new Batch(post)
  }

  ask(value: Question): Promise<Answer> {
    const number = ++this.#last
    const { promise, resolve } = Promise.withResolvers<Answer>()
    this.#unanswered.set(number, resolve)
    this.#batch.add({ number, value })
    return promise
  }

  answered(answers: readonly Numbered<Answer>[]): void {
    for (const { number, value } of answers) {
      const then = this.#unanswered.get(number)
      this.#unanswered.delete(number)
      then?.(value)
    }
  }
}
