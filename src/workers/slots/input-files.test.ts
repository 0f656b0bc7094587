import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { utf8 } from '../../base/bytes.ts'
import { SystemClock } from '../../base/clock.ts'
import { parseFilePath } from '../../base/paths.ts'
import type { WorkMember } from '../../pipelines/datum-worker.ts'
import { SpareFiles } from '../../executors/process/spare-files.ts'
import { ChunkedContents } from '../../storage/chunked-contents.ts'
import { type DirectoryEntry, FileTrees, type TreeEdit } from '../../storage/file-trees.ts'
import { MemoryChunkStore } from '../../storage/memory-chunks.ts'
import { writeInputs, type WrittenInputs } from './input-files.ts'
import { Pacer } from './pacer.ts'

const chunks = new MemoryChunkStore()
const trees = new FileTrees(chunks)
const contents = new ChunkedContents(chunks)
const pacer = new Pacer(new SystemClock(), new AbortController().signal)

let pfs = ''

beforeEach(() => {
  pfs = mkdtempSync(join(tmpdir(), 'pachyderm-inputs-'))
})

afterEach(() => {
  rmSync(pfs, { recursive: true, force: true })
})

function write(
  members: readonly WorkMember[],
  isInputReadOnly = true,
  formerOutput?: DirectoryEntry,
): Promise<WrittenInputs> {
  const slot = { pfsDirectory: pfs, directories: new Set<string>(), isInputReadOnly }
  return writeInputs({ trees, contents, pacer }, slot, members, formerOutput)
}

async function directoryOf(names: readonly string[]): Promise<DirectoryEntry> {
  const content = await contents.writeBytes(utf8('text'))
  const edits = names.map((name): TreeEdit => ({
    path: parseFilePath(name),
    entry: { kind: 'file', content },
  }))
  return await trees.edit(await trees.emptyRoot(), edits, { emptied: 'keep' })
}

async function memberOf(names: readonly string[], path: string): Promise<WorkMember> {
  const entry = await trees.get(await directoryOf(names), parseFilePath(path))
  if (entry === undefined) throw new Error(`nothing is at ${path}`)
  return { input: 'in', path: parseFilePath(path), entry }
}

test('tells all that it has placed', async () => {
  const { placed } = await write([
    await memberOf(['/d/f'], '/d/f'),
    { ...(await memberOf(['/e/g', '/e/h'], '/e')), input: 'other' },
  ])
  expect(placed?.copies).toEqual(['/in/d/f', '/other/e/g', '/other/e/h'])
  expect([...(placed?.directories ?? [])].toSorted()).toEqual(
    ['/in', '/in/d', '/other', '/other/e', '/out'].toSorted(),
  )
  for (const file of placed?.copies ?? []) unlinkSync(pfs + file)
  for (const directory of placed?.directories ?? []) expect(existsSync(pfs + directory)).toBe(true)
})

test('writes spare files anew, whatever they held, and others when there are no more', async () => {
  const home = mkdtempSync(join(tmpdir(), 'pachyderm-spares-'))
  const spares = new SpareFiles(home + '/spares')
  for (const held of ['', 'a longer text than what comes']) {
    writeFileSync(join(home, 'former'), held)
    spares.keep(join(home, 'former'))
  }
  const slot = { pfsDirectory: pfs, directories: new Set<string>(), isInputReadOnly: true, spares }
  const names = ['/d/f', '/d/g', '/d/h']
  const { placed } = await writeInputs({ trees, contents, pacer }, slot, [
    await memberOf(names, '/d'),
  ])
  expect(placed?.copies).toEqual(['/in/d/f', '/in/d/g', '/in/d/h'])
  for (const name of names) expect(readFileSync(`${pfs}/in${name}`, 'utf8')).toBe('text')
  expect(readdirSync(join(home, 'spares'))).toEqual([])
  rmSync(home, { recursive: true })
})

test('does not tell what is much, or comes in pipes', async () => {
  const many = Array.from({ length: 65 }, (_, index) => `/d/${index + 100}`)
  const lazy = { ...(await memberOf(['/f'], '/f')), isLazy: true }
  for (const member of [await memberOf(['/d/e/f'], '/d'), await memberOf(many, '/d'), lazy]) {
    expect((await write([member])).placed).toBeUndefined()
    rmSync(pfs, { recursive: true })
    mkdirSync(pfs)
  }
})

test('stamps `out` only where user code could change what was written before', async () => {
  const member = await memberOf(['/f'], '/f')
  const formerOutput = await directoryOf(['/f'])
  for (const [isInputReadOnly, former] of [
    [true, undefined],
    [true, formerOutput],
    [false, undefined],
  ] as const) {
    const { writtenAt } = await write([member], isInputReadOnly, former)
    expect(writtenAt === undefined).toBe(isInputReadOnly && former === undefined)
    rmSync(pfs, { recursive: true })
    mkdirSync(pfs)
  }
})
