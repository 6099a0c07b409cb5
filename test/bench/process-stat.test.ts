import { expect, test } from 'vitest'
import { cpuTime, residentOctets } from '../../bench/load/process-stat.ts'

test('the CPU time of a process grows by what it works, to the grain of 10 ms', () => {
  const before = cpuTime(process.pid)
  const own = process.cpuUsage()
  while (process.cpuUsage(own).user < 100_000);
  const after = cpuTime(process.pid)
  const used = process.cpuUsage(own)
  const measured = after.userUs + after.sysUs - before.userUs - before.sysUs
  expect(Math.abs(measured - used.user - used.system)).toBeLessThan(40_000)
})

test('resident memory is what Node says it is, within a tenth', () => {
  const measured = residentOctets(process.pid)
  expect(measured / process.memoryUsage.rss()).toBeGreaterThan(0.9)
  expect(measured / process.memoryUsage.rss()).toBeLessThan(1.1)
})
