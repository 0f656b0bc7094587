import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'

import { SystemClock } from '../../base/clock.ts'
import { newHexId, SystemRandom } from '../../base/random.ts'
import { ControlGroups } from './control-groups.ts'
import { boundedBy } from './sandbox.ts'

const clock = new SystemClock()
const bounds = { cpu: 0.5, memoryBytes: 1024 ** 3, processCountMax: 100 }

let root = ''

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'pachyderm-groups-'))
})

afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

/** The newer hierarchy, played by a directory: what is written there can be read. */
function newer(own: string): { readonly mountinfo: string; readonly own: string } {
  return { mountinfo: `30 25 0:20 / ${root} rw - cgroup2 cgroup2 rw`, own: `0::${own}\n` }
}

function textOf(...path: readonly string[]): string {
  return readFileSync(join(root, ...path), 'utf8')
}

/** A name as servers give it. */
function serverGroup(): string {
  return `pachyderm-${newHexId(new SystemRandom()).slice(0, 16)}`
}

test('in the newer hierarchy the server moves aside, to divide what is its own', async () => {
  mkdirSync(join(root, 'own'))
  writeFileSync(join(root, 'own/cgroup.type'), 'domain\n')
  writeFileSync(join(root, 'own/cgroup.controllers'), 'cpuset cpu io memory pids\n')
  writeFileSync(join(root, 'own/cgroup.procs'), `${process.pid}\n`)
  const groups = await ControlGroups.open('name', clock, newer('/own'))
  expect([...groups.bounded]).toEqual(['cpu', 'memory', 'pids'])
  expect(textOf('own/pachyderm-server/cgroup.procs')).toBe(String(process.pid))
  expect(textOf('own/cgroup.subtree_control')).toBe('+cpu +memory +pids')
  expect(textOf('own/name/cgroup.subtree_control')).toBe('+cpu +memory +pids')
  expect(Number(textOf('own/name/memory.max'))).toBe(groups.memoryBytes)
  const group = groups.group('slot', bounds)
  expect(group.entries).toEqual([join(root, 'own/name/slot/cgroup.procs')])
  expect(textOf('own/name/slot/cpu.max')).toBe('50000 100000')
  expect(textOf('own/name/slot/memory.max')).toBe(String(1024 ** 3))
  expect(textOf('own/name/slot/memory.swap.max')).toBe('0')
  expect(textOf('own/name/slot/pids.max')).toBe('103')
  const told = (oom: number, max: number): string | undefined => {
    writeFileSync(join(root, 'own/name/slot/memory.events'), `low 0\noom 7\noom_kill ${oom}\n`)
    writeFileSync(join(root, 'own/name/slot/pids.events'), `max ${max}\n`)
    return group.takeBound()
  }
  expect(told(0, 0)).toBeUndefined()
  expect(told(0, 5)).toBe('it came up against its bound of 100 processes and threads')
  expect(told(1, 6)).toMatch(/^it came up against its bound of 1GiB of memory/)
  expect(told(1, 6)).toBeUndefined()
})

test('a group that others are in, too, is left as it is', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'memory\n')
  writeFileSync(join(root, 'cgroup.type'), 'domain\n')
  writeFileSync(join(root, 'cgroup.procs'), `${process.pid}\n1\n`)
  const groups = await ControlGroups.open('name', clock, newer('/'))
  expect([...groups.bounded]).toEqual([])
  expect(existsSync(join(root, 'pachyderm-server'))).toBe(false)
  expect(groups.group('slot', bounds).entries).toEqual([])
})

test('the outermost group of all is divided with others in it, and nobody moves', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'memory pids\n')
  writeFileSync(join(root, 'cgroup.procs'), `${process.pid}\n1\n`)
  const groups = await ControlGroups.open('name', clock, newer('/'))
  expect([...groups.bounded]).toEqual(['memory', 'pids'])
  expect(textOf('cgroup.subtree_control')).toBe('+memory +pids')
  expect(existsSync(join(root, 'pachyderm-server'))).toBe(false)
})

test('here, whoever is in a group is ended with it, and by the next server', async (context) => {
  const name = `pachyderm-test-${newHexId(new SystemRandom())}`
  const groups = await ControlGroups.open(name, clock)
  await using held = new AsyncDisposableStack()
  held.use(groups)
  if (!groups.bounded.has('pids')) context.skip('this process may make no control groups')
  const run = async (id: string): Promise<ReturnType<typeof spawn>> => {
    const group = groups.group(id, bounds)
    const limits = { groupEntries: group.entries, dataBytes: 0, processCount: 0 }
    const [sh = '', ...rest] = boundedBy(limits)
    const child = spawn(sh, [...rest, 'sh', '-c', 'echo up; read _'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    if (id === 'killed') {
      await group.kill()
      held.use(group)
    }
    return child
  }
  const killed = await run('killed')
  if (killed.signalCode === null) await once(killed, 'exit')
  expect(killed.signalCode).toBe('SIGKILL')
  const left = await run('left')
  expect(left.signalCode).toBe(null)
  const ended = once(left, 'exit')
  held.use(await ControlGroups.open(name, clock))
  expect(await ended).toEqual([null, 'SIGKILL'])
})

test('what a server left that was killed is removed by another, and what lives or is new stays', async (context) => {
  await using living = await ControlGroups.open(serverGroup(), clock)
  if (!living.bounded.has('pids')) context.skip('this process may make no control groups')
  await using slot = living.group('slot', bounds)
  const place = dirname(dirname(dirname(slot.entries[0] ?? '')))
  const old = join(place, serverGroup())
  const fresh = join(place, serverGroup())
  // No process has this number.
  for (const path of [old, fresh]) mkdirSync(join(path, 'server-4194305'), { recursive: true })
  mkdirSync(join(old, 'slot'))
  const oldDirectories = [old, join(old, 'slot'), join(old, 'server-4194305')]
  for (const path of [...oldDirectories, dirname(slot.entries[0] ?? '')]) utimesSync(path, 1, 1)
  utimesSync(dirname(dirname(slot.entries[0] ?? '')), 1, 1)
  try {
    await using _ = await ControlGroups.open(serverGroup(), clock)
    expect([old, fresh, ...slot.entries].map((path) => existsSync(path))).toEqual([
      false,
      true,
      ...slot.entries.map(() => true),
    ])
  } finally {
    rmdirSync(join(fresh, 'server-4194305'))
    rmdirSync(fresh)
  }
})

test('a process that is just ending, which the kernel calls 0, is waited for and not signalled', async () => {
  mkdirSync(join(root, 'own'))
  writeFileSync(join(root, 'own/cgroup.controllers'), 'pids\n')
  writeFileSync(join(root, 'own/cgroup.procs'), '')
  let procs = ''
  class EndingClock extends SystemClock {
    override async sleep(): Promise<void> {
      await Promise.resolve()
      writeFileSync(procs, '')
    }
  }
  const groups = await ControlGroups.open('name', new EndingClock(), newer('/own'))
  const group = groups.group('slot', bounds)
  procs = join(root, 'own/name/slot/cgroup.procs')
  writeFileSync(procs, '0\n')
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  try {
    await group.kill()
    expect(kill).not.toHaveBeenCalled()
    expect(readFileSync(procs, 'utf8')).toBe('')
  } finally {
    kill.mockRestore()
  }
})
