/** How many connections are being set up at once: as many as a default listen backlog holds without trouble. */
const AT_ONCE = 64
const QUIET_MS = 2000

/** Does `work` for 0 … count - 1, a bounded number at a time; says on stderr how far it is when it takes long. */
export const inBatches = async <Item>(
  count: number,
  what: string,
  work: (index: number) => Promise<Item>,
): Promise<Item[]> => {
  const items: Item[] = []
  let saidAt = performance.now()
  for (let from = 0; from < count; from += AT_ONCE) {
    const batch = Array.from({ length: Math.min(AT_ONCE, count - from) }, (_, i) => work(from + i))
    items.push(...(await Promise.all(batch)))
    if (performance.now() - saidAt < QUIET_MS) continue
    saidAt = performance.now()
    process.stderr.write(`${what}: ${items.length} of ${count}\n`)
  }
  return items
}
