import { describe, expect, test } from 'vitest'
import { concatBytes, utf8 } from '../../base/bytes.ts'
import { UnavailableError } from '../../base/errors.ts'
import { SystemRandom } from '../../base/random.ts'
import {
  type BucketOwner,
  BucketTakenError,
  type OwnerPorts,
  OwnerWatch,
  readOwner,
} from '../../storage/bucket-owner.ts'
import type { BucketObject, ObjectBucket } from '../../storage/object-bucket.ts'
import { HeldClock } from '../../testing/held-clock.ts'
import { TemporaryDirectory } from '../../testing/temporary-directory.ts'
import { type BucketNote, readBucketNote, writeBucketNote } from './bucket-note.ts'
import { parseBucketPlace } from '../bucket-place.ts'
import { takeBucket } from './take-bucket.ts'

/** Of texts; fails when it is told to. */
class TextBucket implements ObjectBucket {
  readonly name = 's3://memory'
  readonly texts = new Map<string, string>()
  failsToWrite = false
  readCount = 0

  async *list(prefix: string): AsyncGenerator<BucketObject> {
    for (const key of [...this.texts.keys()].toSorted()) {
      if (key.startsWith(prefix)) yield { key, sizeBytes: this.texts.get(key)?.length ?? 0 }
    }
  }

  find(): Promise<undefined> {
    return Promise.resolve(undefined)
  }

  readRange(key: string): Promise<AsyncIterable<Uint8Array> | undefined> {
    this.readCount += 1
    const text = this.texts.get(key)
    return Promise.resolve(text === undefined ? undefined : pieces(text))
  }

  create(): Promise<boolean> {
    return Promise.resolve(false)
  }

  replace(key: string, bytes: Uint8Array): Promise<void> {
    if (this.failsToWrite) return Promise.reject(new UnavailableError('killed here'))
    this.texts.set(key, Buffer.from(concatBytes([bytes])).toString())
    return Promise.resolve()
  }

  delete(): Promise<void> {
    return Promise.resolve()
  }
}

async function* pieces(text: string): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < text.length; at += 10) yield utf8(text.slice(at, at + 10))
}

const place = parseBucketPlace('s3://bucket/prefix')
const id = (letter: string): string => letter.repeat(32)
const ownerOf = (store: string, session: string): string =>
  `pachyderm-ts bucket 1\nstore ${id(store)}\nsession ${id(session)}\nhost ada\n`

function portsOf(bucket: ObjectBucket): OwnerPorts {
  return {
    bucket,
    prefix: place.prefix,
    clock: new HeldClock(),
    random: new SystemRandom(),
    retries: { attemptsMax: 1, pauseMs: 1, pauseMsMax: 1, timeMsMax: 60_000 },
    signal: new AbortController().signal,
  }
}

interface Case {
  readonly owner?: string
  readonly others?: readonly string[]
  /** Letters of the sessions that the directory knows. */
  readonly session?: string
  readonly next?: string
  readonly hasNote?: true
  readonly takes?: true
  readonly refusal?: string
}

/** The table of docs/formats/buckets.md; our store is `a`. */
const cases: Readonly<Record<string, Case>> = {
  'an empty prefix': {},
  'an empty prefix, after a start that did not reach it': { hasNote: true, next: 'b' },
  'what a console makes for a folder': { others: [''] },
  'a prefix with something in it': { others: ['theirs'], refusal: 'holds "theirs"' },
  'the same, asked to take it': { others: ['theirs'], takes: true, refusal: 'holds "theirs"' },
  'an owner that is gone': { session: 'b', refusal: 'does not say that it is this' },
  'the same, asked to take': { session: 'b', others: ['packs/x'], takes: true },
  'another store': { owner: ownerOf('f', 'b'), session: 'b', refusal: 'belongs to another' },
  'the same, asked to take another store': {
    owner: ownerOf('f', 'b'),
    takes: true,
    refusal: 'belongs to another',
  },
  'the session of the last start': { owner: ownerOf('a', 'b'), session: 'b' },
  'the session of a start that was killed': { owner: ownerOf('a', 'c'), session: 'b', next: 'c' },
  'the session before that': { owner: ownerOf('a', 'b'), session: 'b', next: 'c' },
  'a session of a copy': {
    owner: ownerOf('a', 'd'),
    session: 'b',
    next: 'c',
    refusal: 'has been used by another pachd since',
  },
  'a session of a copy, asked to take': { owner: ownerOf('a', 'd'), session: 'b', takes: true },
  'a bucket that was left': {
    owner: ownerOf('a', 'b'),
    refusal: 'was used by this data directory',
  },
  'an owner of a newer release': {
    owner: 'pachyderm-ts bucket 2\nanything',
    session: 'b',
    refusal: 'was written by a newer release',
  },
  'an owner that makes no sense': {
    owner: 'hello',
    session: 'b',
    refusal: 'does not say who uses the bucket',
  },
}

function noteOf({ hasNote, session, next }: Case): BucketNote | undefined {
  if (hasNote === undefined && session === undefined) return undefined
  return { place, session: session && id(session), next: next && id(next) }
}

interface World extends AsyncDisposable {
  readonly root: string
  readonly bucket: TextBucket
  readonly ports: OwnerPorts
  readonly note: BucketNote | undefined
  readonly take: () => Promise<BucketOwner>
}

async function openWorld(given: Case): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const { path: root } = opened.use(await TemporaryDirectory.create())
  const bucket = new TextBucket()
  if (given.owner !== undefined) bucket.texts.set('prefix/.owner', given.owner)
  for (const name of given.others ?? []) bucket.texts.set(`prefix/${name}`, '')
  bucket.texts.set('elsewhere', 'not ours to look at')
  const note = noteOf(given)
  if (note !== undefined) await writeBucketNote(root, note)
  const ports = portsOf(bucket)
  const taking = {
    root,
    store: id('a'),
    host: 'ada\nlovelace',
    place,
    note,
    takes: given.takes === true,
    beforeNote: () => Promise.resolve(),
  }
  const parts = opened.move()
  return {
    root,
    bucket,
    ports,
    note,
    take: () => takeBucket(taking, ports),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}

const refused = Object.entries(cases).filter(([, { refusal }]) => refusal !== undefined)
const allowed = Object.entries(cases).filter(([, { refusal }]) => refusal === undefined)

describe('a bucket that a server starts on', () => {
  test.each(refused)('is refused, and stays as it is: %s', async (_, given) => {
    await using world = await openWorld(given)
    const { bucket, root, note } = world
    const before = [...bucket.texts]
    await expect(world.take()).rejects.toThrow(given.refusal)
    expect([...bucket.texts]).toEqual(before)
    expect(await readBucketNote(root)).toEqual(note)
  })

  test.each(allowed)('is taken: %s', async (_, given) => {
    await using world = await openWorld(given)
    const { session } = await world.take()
    expect(await readOwner(world.ports)).toEqual({ store: id('a'), session, host: 'ada?lovelace' })
    expect(await readBucketNote(world.root)).toEqual({ place, session, next: undefined })
  })

  test('is taken by the next start when one is killed in between', async () => {
    await using directory = await TemporaryDirectory.create()
    const bucket = new TextBucket()
    bucket.texts.set('prefix/.owner', ownerOf('a', 'b'))
    const taking = {
      root: directory.path,
      store: id('a'),
      host: 'ada',
      place,
      takes: false,
      beforeNote: () => Promise.resolve(),
    }
    const ports = portsOf(bucket)
    bucket.failsToWrite = true
    const note = { place, session: id('b'), next: undefined }
    await expect(takeBucket({ ...taking, note }, ports)).rejects.toThrow('killed here')
    const left = await readBucketNote(directory.path)
    expect(left?.session).toBe(id('b'))
    expect(left?.next).toMatch(/^[0-9a-f]{32}$/)
    // As if the bucket had got it, and nobody had heard of that.
    bucket.texts.set('prefix/.owner', ownerOf('a', 'b').replace(id('b'), left?.next ?? ''))
    bucket.failsToWrite = false
    const { session } = await takeBucket({ ...taking, note: left }, ports)
    expect((await readOwner(ports))?.session).toBe(session)
  })
})

test('a watch looks before each deletion, and for puts every few seconds', async () => {
  const bucket = new TextBucket()
  const clock = new HeldClock()
  bucket.texts.set('prefix/.owner', ownerOf('a', 'b'))
  const owner = { store: id('a'), session: id('b'), host: 'ada' }
  const watch = new OwnerWatch({ ...portsOf(bucket), clock }, owner)
  await watch.check('put')
  await watch.check('put')
  expect(bucket.readCount).toBe(1)
  await watch.check('delete')
  await watch.check('delete')
  expect(bucket.readCount).toBe(3)
  bucket.texts.set('prefix/.owner', ownerOf('a', 'c'))
  await watch.check('put')
  await expect(watch.check('delete')).rejects.toThrow(BucketTakenError)
  clock.advance(6000)
  await expect(watch.check('put')).rejects.toThrow(/is used by another pachd now, on ada/)
  bucket.texts.delete('prefix/.owner')
  await expect(watch.check('delete')).rejects.toThrow(/its .owner is gone/)
})
