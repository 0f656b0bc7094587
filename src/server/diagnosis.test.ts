import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { diagnose, namespacesAdvice, type DiagnosisFacts } from './diagnosis.ts'
import { isTested } from '../testing/left-out.ts'

const sound: DiagnosisFacts = {
  release: '1',
  root: tmpdir(),
  isolation: 'root',
  processNotices: [],
  leftovers: [],
  bounds: new Set(['cpu', 'memory', 'processes', 'disk']),
  engine: { isOpen: true, isWanted: false, text: 'Docker 27 at unix:///d.sock' },
  doors: { all: 'a:1', http: 'off', s3: 'off' },
}

/** Subject → grade of what is not fine, with its advice. */
async function ailing(facts: Partial<DiagnosisFacts>): Promise<Readonly<Record<string, string>>> {
  const symptoms = await diagnose({ ...sound, ...facts })
  const found = symptoms.filter(({ grade, subject }) => grade !== 'fine' && subject !== 'disk')
  for (const { advice } of found) expect(advice).not.toBe('')
  return Object.fromEntries(found.map(({ subject, grade }) => [subject, grade]))
}

test('each thing that is looked at is told, and what is not fine has an advice', async () => {
  const subjects = (await diagnose(sound)).map(({ subject }) => subject)
  expect(subjects).toEqual([
    'server',
    'sandbox',
    'limits',
    'container engine',
    'disk',
    'open files',
    'ports',
  ])
  expect(await ailing({})).toEqual({})
  expect(await ailing({ isolation: 'none', processNotices: ['x'] })).toEqual({ sandbox: 'problem' })
  expect(await ailing({ isolation: 'root', processNotices: ['x'] })).toEqual({ sandbox: 'problem' })
  expect(await ailing({ isolation: 'unknown', processNotices: ['x'] })).toEqual({
    sandbox: 'problem',
  })
  expect(await ailing({ leftovers: ['x'] })).toEqual({ 'scratch space': 'notice' })
  expect(await ailing({ bounds: new Set(['disk', 'cpu']) })).toEqual({ limits: 'notice' })
  const engine = { isOpen: false, isWanted: false, text: 'none' }
  expect(await ailing({ engine })).toEqual({ 'container engine': 'notice' })
  expect(await ailing({ engine: { ...engine, isWanted: true } })).toEqual({
    'container engine': 'problem',
  })
  const open = { isOpen: true, isWanted: false, text: 'Podman 4' }
  const refused = { ...open, trial: { kind: 'refused', reason: 'no limits' } } as const
  expect(await ailing({ engine: refused })).toEqual({ 'container engine': 'problem' })
  const untried = {
    ...open,
    trial: { kind: 'untried', why: 'it has no image', advice: 'pull one' },
  } as const
  expect(await ailing({ engine: untried })).toEqual({ 'container engine': 'notice' })
  expect(await ailing({ engine: { ...open, trial: { kind: 'started' } } })).toEqual({})
})

test('what bounds are missing is named', async () => {
  const symptoms = await diagnose({ ...sound, bounds: new Set(['cpu']) })
  expect(symptoms.find(({ subject }) => subject === 'limits')?.text).toContain(
    'no control group bounds memory, processes of user code',
  )
})

function withoutMounts(path: string): string {
  return path === '/proc/sys/user/max_mnt_namespaces' ? '0\n' : '1000\n'
}

test('a setting that forbids namespaces of one kind is named', () => {
  expect(namespacesAdvice(withoutMounts)).toBe(
    'allow namespaces of this kind: sysctl -w user.max_mnt_namespaces=15000',
  )
})

test('an ordinary user hears what is bounded all the same', async () => {
  const bounds = new Set(['disk'])
  const symptoms = await diagnose({ ...sound, isolation: 'user', bounds })
  const text = symptoms.find(({ subject }) => subject === 'limits')?.text
  expect(text).toContain('only what resource_spec says')
  expect(text).toContain('only how many there are')
})

/** On sandboxes and limits. */
async function advicesOn(facts: DiagnosisFacts): Promise<readonly string[]> {
  const symptoms = await diagnose(facts)
  return symptoms
    .filter(({ subject }) => ['sandbox', 'limits'].includes(subject))
    .map((symptom) => symptom.advice)
}

test('advice is what would help whoever runs the server, and what is known to', async () => {
  const none = {
    ...sound,
    isolation: 'none',
    processNotices: ['x'],
    bounds: new Set<string>(),
  } as const
  const isRoot = process.geteuid?.() === 0
  expect((await advicesOn(none)).every((text) => text.includes('as root') !== isRoot)).toBe(true)
  const [text] = await advicesOn({ ...none, isolationAdvice: 'install it' })
  expect(text).toBe('install it; or run pipelines in containers (docs/container-executor.md)')
  const impossible = { ...sound, isolation: 'unknown', processNotices: ['x'] } as const
  expect((await advicesOn({ ...impossible, isolationAdvice: 'move it' }))[0]).toBe('move it')
})

test.runIf(isTested(process.geteuid?.() === 0))(
  'a data directory on a disk on which nothing can be started is told of',
  async () => {
    const root = mkdtempSync(join(tmpdir(), 'pachyderm-noexec-'))
    try {
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'noexec', 'disk', root])
      const advice = `mount it without: mount -o remount,exec ${root}`
      expect(await diagnose({ ...sound, root })).toContainEqual(
        expect.objectContaining({ grade: 'notice', subject: 'disk', advice }),
      )
    } finally {
      spawnSync('umount', ['-l', root])
      rmSync(root, { recursive: true })
    }
  },
)
