import { collectBytes } from '../base/bytes.ts'
import { SystemClock } from '../base/clock.ts'
import { DataLossError, DomainError } from '../base/errors.ts'
import type { RequestedInput } from '../pipelines/requested-specs.ts'
import { removeRepo } from '../versioning/repos.ts'
import type { Objects } from '../versioning/objects.ts'
import { seededBytes } from './seeded-random.ts'
import { atom, type TestProcessing } from './test-processing.ts'
import { byLine } from './versioning-pair.ts'

/** Numbers that follow from a seed. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = (seed * 0x9e3779b1 + 0x7f4a7c15) | 0 || 1
  }

  /** A whole number from 0 to below `count`. */
  roll(count: number): number {
    this.#state ^= this.#state << 13
    this.#state ^= this.#state >>> 17
    this.#state ^= this.#state << 5
    return (this.#state >>> 0) % count
  }

  pick<Item>(items: readonly Item[]): Item | undefined {
    return items[this.roll(items.length)]
  }
}

/** Few, so that the same content is put again just when it is about to go. */
const poolSize = 24
const sizes: readonly number[] = [10, 300, 5000, 20_000, 90_000]
const fileBytesMax = 1_000_000

function poolBytes(dice: Dice): Uint8Array {
  const seed = dice.roll(poolSize)
  return seededBytes(1000 + seed, sizes[seed % sizes.length] ?? 1)
}

async function* streamOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** Everybody who works with chunks, each taking one step at random at each call. */
export interface BusyWorld {
  readonly processing: TestProcessing
  readonly objects: Objects
}

/** Repos of one writer: put, bulk, delete, finish, abandon, branch, drop the whole repo and make it anew. */
export async function writerStep(
  { processing: { versioning, database } }: BusyWorld,
  repo: string,
  dice: Dice,
): Promise<void> {
  const { commits, repos, writes, branches } = versioning
  const file = { repo, commit: 'master', path: `d${dice.roll(3)}/f${dice.roll(20)}` }
  switch (dice.roll(13)) {
    case 0:
      return await repos.create({ name: repo })
    case 1:
      await commits.start({ repo, branch: 'master' })
      return
    case 2:
    case 3:
      await commits.finish(repo, 'master')
      return
    case 4:
      return await commits.delete(repo, 'master')
    case 5:
      if (dice.roll(2) === 0) await repos.delete(repo, { force: true })
      return
    case 6:
      return await writes.delete({ ...file, path: `d${dice.roll(3)}` })
    case 7: {
      const split = dice.roll(2) === 0 ? byLine : undefined
      await using bulk = await writes.bulk(repo, 'master', { split })
      for (let count = dice.roll(40); count >= 0; count -= 1) {
        await bulk.put(`b${dice.roll(5)}/${dice.roll(60)}`, poolBytes(dice), { overwrite: true })
      }
      await bulk.commit()
      return
    }
    case 8:
      await branches.set(repo, 'other', 'master')
      return
    case 9:
      return await branches.delete(repo, 'other')
    case 10:
      // As a large one: its rows go later, when a repo of its name is there already.
      await database.transact((tx) => removeRepo(tx, repo, 0))
      return await repos.create({ name: repo })
    default:
      return await writes.put(file, poolBytes(dice), { overwrite: dice.roll(3) > 0 })
  }
}

/** Reads whole commits, and diffs. */
export async function readerStep(
  { processing: { versioning } }: BusyWorld,
  dice: Dice,
): Promise<void> {
  const repo = dice.pick(await versioning.repos.list())
  if (repo === undefined) return
  const found = []
  for await (const commit of versioning.commits.list({ repo: repo.name })) found.push(commit.id)
  const commit = dice.pick(found)
  if (commit === undefined) return
  const root = { repo: repo.name, commit, path: '' }
  for await (const { path, entry } of versioning.files.walk(root)) {
    if (entry.kind === 'directory' || dice.roll(3) > 0) continue
    const { bytes } = await versioning.files.read({ ...root, path })
    await collectBytes(bytes, fileBytesMax)
  }
}

/** Objects with and without tags. */
export async function objectStep({ objects }: BusyWorld, dice: Dice): Promise<void> {
  const tag = `tag-${dice.roll(5)}`
  switch (dice.roll(4)) {
    case 0:
      return await objects.deleteTags([tag])
    case 1:
      return await objects.delete([await objects.resolveTag(tag)])
    default:
      await objects.put(streamOf(poolBytes(dice)), () => [tag])
  }
}

const inputs: readonly RequestedInput[] = [
  atom('in', '/*'),
  { join: [{ atom: { ...atom('in', '/f(*)').atom, joinOn: '$1' } }] },
  { group: [{ atom: { ...atom('in', '/f(?)*').atom, groupBy: '$1' } }] },
]

/** A pipeline over a repo of its own, reprocessed now and then, and now and then made anew. */
export async function pipelineStep({ processing }: BusyWorld, dice: Dice): Promise<void> {
  const { pipelines, jobs } = processing.processing
  const spec = {
    name: 'copy',
    input: dice.pick(inputs) ?? atom('in', '/*'),
    transform: {
      image: '',
      command: ['copy'],
      stdinLines: [],
      environment: {},
      acceptedReturnCodes: [],
      secrets: [],
      imagePullSecrets: [],
      debug: false,
    },
  }
  switch (dice.roll(8)) {
    case 0:
      return await pipelines.create(spec)
    case 1:
      return await pipelines.update(spec, { reprocess: dice.roll(2) === 0 })
    case 2:
      if (dice.roll(2) === 0) return
      return await pipelines.delete('copy', { deleteJobs: dice.roll(2) === 0, deleteRepo: false })
    case 3: {
      const job = dice.pick(await jobs.list())
      if (job !== undefined) await jobs.delete(job.id)
      return
    }
    default: {
      const files: Record<string, string | null> = {}
      for (let count = 0; count < 3; count += 1) {
        const name = `f${dice.roll(12)}`
        files[name] = dice.roll(5) === 0 ? null : Buffer.from(poolBytes(dice)).toString('base64')
      }
      await processing.commit('in', files)
    }
  }
}

/**
 * Takes steps until `signal` aborts. What a step meets because somebody else took something away is
 * no failure; data that is missing is.
 */
export async function keepBusy(signal: AbortSignal, step: () => Promise<void>): Promise<number> {
  const clock = new SystemClock()
  let count = 0
  while (!signal.aborted) {
    count += 1
    try {
      await step()
    } catch (error) {
      if (!(error instanceof DomainError) || error instanceof DataLossError) throw error
    }
    await clock.sleep(4)
  }
  return count
}
