import { TransientMap } from '../transient-map.ts'
import { NumberedBatch } from './batch.ts'
import type { Numbered } from './lane-port.ts'

/** So many go at once: a lane that works long on a turn would leave the primary without work to its end. */
const askedMax = 32

/** Questions to the primary thread that it has yet to answer. Those of one turn go together, 32 at a time. */
export class Asking<Question, Answer> {
  readonly #unanswered = new TransientMap<number, (answer: Answer) => void>()
  readonly #batch: NumberedBatch<Question>
  #last = 0

  constructor(post: (requests: Numbered<Question>) => void) {
    this.#batch = new NumberedBatch(post, askedMax)
  }

  ask(value: Question): Promise<Answer> {
    const number = ++this.#last
    const { promise, resolve } = Promise.withResolvers<Answer>()
    this.#unanswered.set(number, resolve)
    this.#batch.add(number, value)
    return promise
  }

  answered({ numbers, values }: Numbered<Answer>): void {
    for (const [index, number] of numbers.entries()) {
      const then = this.#unanswered.get(number)
      this.#unanswered.delete(number)
      then?.(values[index]!)
    }
  }
}
