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
import { Leftovers } from '../leftovers.ts'
import { ControlGroups } from './control-groups.ts'
import { boundedBy } from './sandbox.ts'

const clock = new SystemClock()
const ports = { clock, leftovers: new Leftovers(clock) }
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
  const groups = await ControlGroups.open('name', ports, newer('/own'))
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
  const groups = await ControlGroups.open('name', ports, newer('/'))
  expect([...groups.bounded]).toEqual([])
  expect(existsSync(join(root, 'pachyderm-server'))).toBe(false)
  expect(groups.group('slot', bounds).entries).toEqual([])
})

test('the outermost group of all is divided with others in it, and nobody moves', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'memory pids\n')
  writeFileSync(join(root, 'cgroup.procs'), `${process.pid}\n1\n`)
  const groups = await ControlGroups.open('name', ports, newer('/'))
  expect([...groups.bounded]).toEqual(['memory', 'pids'])
  expect(textOf('cgroup.subtree_control')).toBe('+memory +pids')
  expect(existsSync(join(root, 'pachyderm-server'))).toBe(false)
})

test('here, whoever is in a group is ended with it, and by the next server', async (context) => {
  const name = `pachyderm-test-${newHexId(new SystemRandom())}`
  const groups = await ControlGroups.open(name, ports)
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
  held.use(await ControlGroups.open(name, ports))
  expect(await ended).toEqual([null, 'SIGKILL'])
})

test('what a server left that was killed is removed by another, and what lives or is new stays', async (context) => {
  await using living = await ControlGroups.open(serverGroup(), ports)
  if (!living.bounded.has('pids')) context.skip('this process may make no control groups')
  await using slot = living.group('slot', bounds)
  const place = dirname(dirname(dirname(slot.entries[0] ?? '')))
  const old = join(place, serverGroup())
  const fresh = join(place, serverGroup())
  // Where a server was in another group.
  const other = join(place, `other-${serverGroup()}`)
  const ofOther = join(other, serverGroup())
  const leftGroups = [old, ofOther]
  // No process has this number.
  for (const path of [...leftGroups, fresh]) {
    mkdirSync(join(path, 'server-4194305'), { recursive: true })
  }
  for (const path of leftGroups) mkdirSync(join(path, 'slot'))
  const oldDirectories = leftGroups.flatMap((path) => [
    path,
    join(path, 'slot'),
    join(path, 'server-4194305'),
  ])
  for (const path of [...oldDirectories, dirname(slot.entries[0] ?? '')]) utimesSync(path, 1, 1)
  utimesSync(dirname(dirname(slot.entries[0] ?? '')), 1, 1)
  try {
    await using _ = await ControlGroups.open(serverGroup(), ports)
    await expect
      .poll(() => [old, ofOther, fresh, ...slot.entries].map((path) => existsSync(path)))
      .toEqual([false, false, true, ...slot.entries.map(() => true)])
  } finally {
    for (const path of [join(fresh, 'server-4194305'), fresh, other]) rmdirSync(path)
  }
})

test('a group that cannot be made in all hierarchies is made in none, and the reason is told', async () => {
  for (const name of ['cpu', 'pids']) mkdirSync(join(root, name))
  const line = (name: string): string =>
    `31 25 0:21 / ${root}/${name} rw - cgroup cgroup rw,${name}`
  const texts = { mountinfo: `${line('cpu')}\n${line('pids')}`, own: '2:pids:/\n1:cpu:/\n' }
  const groups = await ControlGroups.open('name', ports, texts)
  expect([...groups.bounded]).toEqual(['cpu', 'pids'])
  writeFileSync(join(root, 'pids/name/slot'), '')
  expect(() => groups.group('slot', { ...bounds, cpu: 0 })).toThrow(
    /^no control group could be made: EEXIST/,
  )
  expect(existsSync(join(root, 'cpu/name/slot'))).toBe(false)
  expect(groups.group('other', { ...bounds, cpu: 0 }).entries).toHaveLength(2)
})

test('where no groups can be divided, nothing stays of the try', async () => {
  mkdirSync(join(root, 'cpu'))
  mkdirSync(join(root, 'memory'))
  // A name that is a file's, where a directory is to be.
  writeFileSync(join(root, 'memory/name'), '')
  const line = (name: string): string =>
    `31 25 0:21 / ${root}/${name} rw - cgroup cgroup rw,${name}`
  const texts = { mountinfo: `${line('cpu')}\n${line('memory')}`, own: '2:memory:/\n1:cpu:/\n' }
  const groups = await ControlGroups.open('name', ports, texts)
  expect([...groups.bounded]).toEqual(['cpu'])
  rmSync(join(root, 'memory/name'))
  // It cannot be written to.
  mkdirSync(join(root, 'memory/name/memory.limit_in_bytes'), { recursive: true })
  const others = await ControlGroups.open('name', ports, texts)
  expect([...others.bounded]).toEqual(['cpu'])
  expect(existsSync(join(root, `memory/name/server-${process.pid}`))).toBe(false)
})

test('a group whose processes do not end is left, told of, and removed when they have', async () => {
  writeFileSync(join(root, 'cgroup.controllers'), 'pids\n')
  await using leftovers = new Leftovers(clock)
  const groups = await ControlGroups.open('name', { clock, leftovers }, newer('/'))
  const group = groups.group('slot', bounds)
  const slot = join(root, 'name/slot')
  // No process has this number.
  writeFileSync(join(slot, 'cgroup.procs'), '4194305\n')
  await group[Symbol.asyncDispose]()
  expect(leftovers.texts).toEqual([
    `control group ${slot} cannot be removed now, and is tried again: processes in it do not end ` +
      'though they are killed (4194305): a disk that they wait for does not answer',
  ])
  const next = await ControlGroups.open('name', { clock, leftovers }, newer('/'))
  expect([...next.bounded]).toEqual(['pids'])
  for (const name of ['cgroup.procs', 'pids.max']) rmSync(join(slot, name))
  writeFileSync(join(slot, 'cgroup.procs'), '')
  rmSync(slot, { recursive: true })
  leftovers.wake()
  await expect.poll(() => leftovers.texts).toEqual([])
  expect(existsSync(join(root, 'name'))).toBe(true)
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
  const groups = await ControlGroups.open(
    'name',
    { ...ports, clock: new EndingClock() },
    newer('/own'),
  )
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
