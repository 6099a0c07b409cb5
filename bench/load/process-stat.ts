import { readdirSync, readFileSync } from 'node:fs'

/** USER_HZ: what /proc counts in, 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

export interface CpuTime {
  readonly userUs: number
  readonly sysUs: number
}

/** The process and all its living descendants. */
const processTree = (pid: number): number[] => [
  pid,
  ...readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1').split(' '))
    .filter((child) => child !== '')
    .flatMap((child) => processTree(Number(child))),
]

/** CPU time of a process, all threads and children in it, in µs with the 10 ms grain of /proc/PID/stat. */
export const cpuTime = (pid: number): CpuTime => {
  let user = 0
  let sys = 0
  for (const member of processTree(pid)) {
    const stat = readFileSync(`/proc/${member}/stat`, 'latin1')
    // The command name (field 2) may hold blanks and parentheses; field 3 begins after the last one.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    user += Number(fields[14 - 3])
    sys += Number(fields[15 - 3])
  }
  const usPerTick = 1e6 / TICKS_PER_SECOND
  return { userUs: user * usPerTick, sysUs: sys * usPerTick }
}

/** A line of /proc/PID/status that is an amount of memory, of a process and its children together, in octets. */
const statusOctets = (pid: number, line: RegExp): number =>
  processTree(pid)
    .map((member) => line.exec(readFileSync(`/proc/${member}/status`, 'latin1'))?.[1] ?? '0')
    .reduce((sum, kib) => sum + Number(kib) * 1024, 0)

/** Resident memory of a process and its children, in octets. */
export const residentOctets = (pid: number): number => statusOctets(pid, /^VmRSS:\s+(\d+) kB/m)

/** What of it is no page of a file: the rest the operating system can take back whenever it likes. */
export const residentAnonymousOctets = (pid: number): number => statusOctets(pid, /^RssAnon:\s+(\d+) kB/m)

/** How many files this process may have open; its children inherit the same. */
export const openFilesMax = (): number => {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
  return soft === undefined || soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}
