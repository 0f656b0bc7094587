import { join } from 'node:path'
import { SystemClock } from '../base/clock.ts'
import { SystemRandom } from '../base/random.ts'
import { Buckets } from '../clouds/open-buckets.ts'
import { BucketObjectStore } from '../storage/bucket-objects.ts'
import { CachedObjects } from '../storage/cached-objects.ts'
import type { FaultPoint } from '../storage/fault-point.ts'
import { LocalObjectStore } from '../storage/local-objects.ts'
import { ObjectCache } from '../storage/object-cache.ts'
import { usualRetries } from '../base/retries.ts'
import { StagedObjects } from '../storage/staged-objects.ts'

/** A bucket of S3 as a child is told of it. */
export interface CrashBucket {
  readonly variables: Readonly<Record<string, string>>
  readonly bucket: string
  readonly prefix: string
}

const cacheBytes = 64 * 1024 * 1024

/** Objects of `directory` that are on their way to a bucket; none is before `start`. */
export async function openCrashBucket(
  { variables, bucket, prefix }: CrashBucket,
  directory: string,
  faultPoint: FaultPoint,
): Promise<
  {
    readonly staged: StagedObjects
    readonly near: CachedObjects
    readonly start: () => Promise<void>
  } & AsyncDisposable
> {
  await using opened = new AsyncDisposableStack()
  const buckets = opened.use(new Buckets({ variables, secretsDirectory: '/nonexistent' }))
  const ports = { clock: new SystemClock(), random: new SystemRandom() }
  const scratchDirectory = join(directory, 'scratch')
  const remote = new BucketObjectStore({
    ...ports,
    bucket: await buckets.openStore({ kind: 's3', bucket }),
    prefix,
    scratchDirectory,
    retries: usualRetries,
  })
  const local = opened.use(await LocalObjectStore.open(join(directory, 'objects'), faultPoint))
  const cache = opened.use(await ObjectCache.open(join(directory, 'cache'), cacheBytes))
  const staged = opened.use(
    await StagedObjects.open({
      ...ports,
      staged: local,
      remote,
      scratchDirectory,
      stagedBytesMax: cacheBytes,
      faultPoint,
    }),
  )
  const parts = opened.move()
  return {
    staged,
    near: new CachedObjects(staged, cache),
    start: () =>
      staged.start({
        onUploaded: (key, sizeBytes, linkTo) => cache.adopt(key, sizeBytes, linkTo),
        onTrouble: () => undefined,
      }),
    [Symbol.asyncDispose]: () => parts[Symbol.asyncDispose](),
  }
}
