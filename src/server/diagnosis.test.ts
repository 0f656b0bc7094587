import { tmpdir } from 'node:os'
import { expect, test } from 'vitest'

import { diagnose, type DiagnosisFacts } from './diagnosis.ts'

const sound: DiagnosisFacts = {
  release: '1',
  root: tmpdir(),
  isolation: 'root',
  processNotices: [],
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
    'nothing bounds memory, processes',
  )
})
