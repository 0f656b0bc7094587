import {
  type DomainError,
  FailedPreconditionError,
  NotFoundError,
  UnavailableError,
} from '../../base/errors.ts'
import { newHexId } from '../../base/random.ts'
import {
  anythingIn,
  type BucketOwner,
  type OwnerPorts,
  readOwner,
  writeOwner,
} from '../../storage/bucket-owner.ts'
import { type BucketNote, writeBucketNote } from './bucket-note.ts'
import type { BucketPlace } from '../bucket-place.ts'

export interface Taking {
  readonly root: string
  /** The id of the directory's store. */
  readonly store: string
  readonly host: string
  readonly place: BucketPlace
  /** What the directory says of the bucket; undefined for one whose packs were in it until now. */
  readonly note: BucketNote | undefined
  /** Called before the directory says that its packs are there. */
  readonly beforeNote: () => Promise<void>
  /** Somebody has said that nobody else uses it any more. */
  readonly takes: boolean
}

/**
 * Makes a bucket this server's, until another one is started on a copy of its data directory. The bucket
 * must be of this store, or hold nothing.
 *
 * @throws {FailedPreconditionError} with advice, when it is somebody else's.
 */
export async function takeBucket(taking: Taking, ports: OwnerPorts): Promise<BucketOwner> {
  const { root, store, host, place, note } = taking
  const found = await looked(place, () => readOwner(ports))
  await requireOurs(taking, found, ports)
  const session = newHexId(ports.random)
  const owner = { store, session, host }
  // Before the bucket: whatever is there then is what this directory knows of.
  const known = found?.session ?? note?.session
  await taking.beforeNote()
  await writeBucketNote(root, { place, session: known, next: session })
  await writeOwner(ports, owner)
  await writeBucketNote(root, { place, session, next: undefined })
  return owner
}

/** Whether what the bucket says of itself is what this directory knows. @throws when it is another's. */
export async function requireStore(
  { place, store }: Pick<Taking, 'place' | 'store'>,
  ports: OwnerPorts,
): Promise<void> {
  const found = await looked(place, () => readOwner(ports))
  if (found !== undefined && found.store !== store) throw ofAnother(place, found)
}

async function requireOurs(
  { store, place, note, takes }: Taking,
  found: BucketOwner | undefined,
  ports: OwnerPorts,
): Promise<void> {
  if (found !== undefined) {
    if (found.store !== store) throw ofAnother(place, found)
    if (takes || [note?.session, note?.next].includes(found.session)) return
    if (note === undefined) {
      throw new FailedPreconditionError(
        `${place.url} was used by this data directory, or a copy of it, before, on ${found.host}: if nothing uses it now, start with --take-bucket`,
      )
    }
    throw new FailedPreconditionError(
      `${place.url} has been used by another pachd since this data directory was used last, on ${found.host}: two that change it would destroy each other's data. If this directory is a copy, go on with the other one. If that one is lost and this is its backup, and nothing runs on it, start this one with --take-bucket`,
    )
  }
  // A start that ended between the two has told nobody anything.
  if (note?.session !== undefined && !takes) {
    throw new FailedPreconditionError(
      `${place.url} does not say that it is this data directory's, as it did before: see that it is the right bucket and that nobody has emptied it. If all packs are there and only its object .owner is gone, start with --take-bucket`,
    )
  }
  if (note?.session !== undefined) return
  const other = await looked(place, () => anythingIn(ports))
  if (other === undefined) return
  throw new FailedPreconditionError(
    `${place.url} holds ${JSON.stringify(other.slice(0, 200))} and is no pachd's: name an empty bucket, or a prefix below which there is nothing`,
  )
}

function ofAnother({ url }: BucketPlace, { store, host }: BucketOwner): FailedPreconditionError {
  return new FailedPreconditionError(
    `${url} belongs to another data directory (store ${store}, last used on ${host}): name another bucket or prefix, for each data directory needs its own`,
  )
}

/** With what to look after, for whoever has just written the bucket's name. */
async function looked<Result>(place: BucketPlace, look: () => Promise<Result>): Promise<Result> {
  try {
    return await look()
  } catch (error) {
    if (!(error instanceof UnavailableError || error instanceof NotFoundError)) throw error
    throw unreachable(place, error)
  }
}

function unreachable({ url }: BucketPlace, error: DomainError): UnavailableError {
  return new UnavailableError(
    `the packs in ${url} cannot be reached: ${error.message}; see that the bucket exists, and that its name, endpoint and region are right`,
    { cause: error },
  )
}
