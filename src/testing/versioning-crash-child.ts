// Puts files and finishes commits as fast as it can, and says what has been acknowledged, one line
// each, until it is killed: versioning-crash-child.ts DIRECTORY ROUND

import { writeSync } from 'node:fs'
import type { Versioning } from '../versioning/versioning.ts'
import { pieceName } from '../versioning/splits.ts'
import { crashBytes, crashLine, crashRepo } from './versioning-crash.ts'
import { byLine } from './versioning-pair.ts'
import { openStoredVersioning } from './stored-versioning.ts'

const [directory = '', round = ''] = process.argv.slice(2)
await using opened = await openStoredVersioning(directory)
const { versioning } = opened
const filesPerCommit = 12

function say(...words: readonly string[]): void {
  writeSync(1, `${words.join(' ')}\n`)
}

async function putFile({ writes }: Versioning, commit: string, path: string): Promise<void> {
  try {
    await writes.put({ repo: crashRepo, commit, path }, crashBytes(path))
  } catch (error) {
    if (String(error).includes('is not open')) return
    throw error
  }
  say('put', commit, path)
}

async function bulkFiles({ writes }: Versioning, commit: string, prefix: string): Promise<void> {
  await using bulk = await writes.bulk(crashRepo, commit)
  const paths = Array.from({ length: 5 }, (_, index) => `${prefix}/${index}`)
  for (const path of paths) await bulk.put(path, crashBytes(path))
  await bulk.commit()
  for (const path of paths) say('put', commit, path)
}

/** Each line is what the piece of its number holds. */
async function splitFile({ writes }: Versioning, commit: string, prefix: string): Promise<void> {
  await using bulk = await writes.bulk(crashRepo, commit, { split: byLine })
  for (const name of ['one', 'two']) {
    const path = `${prefix}/split/${name}`
    const lines = Array.from({ length: 5 }, (_, index) => crashLine(`${path}/${pieceName(index)}`))
    await bulk.put(path, Buffer.concat(lines))
  }
  await bulk.commit()
  // All pieces are there when the last is.
  for (const name of ['one', 'two']) {
    say('put', commit, `${prefix}/split/${name}/${pieceName(4)}`)
  }
}

/** Says what is acknowledged where it is in the end, once each. */
async function placeFiles({ copies }: Versioning, commit: string, prefix: string): Promise<void> {
  const at = (path: string) => ({ repo: crashRepo, commit, path })
  await copies.copy(at(`${prefix}/bulk`), at(`/copied${prefix}/bulk`), { mode: 'refuse' })
  for (let index = 0; index < 5; index += 1) say('put', commit, `/copied${prefix}/bulk/${index}`)
  await copies.copy(at(`${prefix}/bulk`), at(`/from${prefix}/bulk`), { mode: 'refuse' })
  await copies.move(at(`/from${prefix}`), at(`/moved${prefix}`), { overwrite: false })
  for (let index = 0; index < 5; index += 1) say('put', commit, `/moved${prefix}/bulk/${index}`)
}

/** The commit that the last process left open, or a new one. */
async function openCommit({ commits }: Versioning): Promise<string> {
  const head = await commits.inspect(crashRepo, 'master').catch(() => undefined)
  if (head?.state.kind === 'open') return head.id
  return (await commits.start({ repo: crashRepo, branch: 'master' })).id
}

await versioning.repos.create({ name: crashRepo }).catch(() => undefined)
for (let count = 0; ; count += 1) {
  const commit = await openCommit(versioning)
  const prefix = `/${round}/${count}`
  await bulkFiles(versioning, commit, `${prefix}/bulk`)
  await splitFile(versioning, commit, prefix)
  await placeFiles(versioning, commit, prefix)
  const puts = Array.from({ length: filesPerCommit }, (_, index) =>
    putFile(versioning, commit, `${prefix}/${index}`),
  )
  const finished = await versioning.commits.finish(crashRepo, commit)
  if (finished.state.kind === 'finished') say('finished', commit, finished.state.tree.root)
  await Promise.all(puts)
}
