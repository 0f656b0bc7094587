import { InvalidArgumentError } from '../../base/errors.ts'
import type { S3Call } from './call.ts'
import { S3Error, type S3Code } from './errors.ts'
import { bucketName } from './names.ts'
import { iso } from './times.ts'
import { XmlElement } from './xml-documents.ts'

const owner = { ID: 'pachyderm', DisplayName: 'pachyderm' } as const

/** Every branch of every repo. */
export async function listBuckets(call: S3Call): Promise<void> {
  const { repos, branches } = call.versioning
  const prefix = call.query.get('prefix') ?? ''
  const names: { readonly name: string; readonly createdAt: number }[] = []
  for (const { name: repo, createdAt } of await repos.list()) {
    for (const { name: commit } of await branches.list(repo)) {
      const name = bucketName({ repo, commit })
      if (name.startsWith(prefix)) names.push({ name, createdAt })
    }
  }
  names.sort((left, right) => (left.name < right.name ? -1 : 1))
  call.answerXml('ListAllMyBucketsResult', {
    Owner: owner,
    Buckets: {
      Bucket: names.map(({ name, createdAt }) => ({ Name: name, CreationDate: iso(createdAt) })),
    },
  })
}

export async function headBucket(call: S3Call): Promise<void> {
  await call.commit()
  call.answer(200, { 'x-amz-bucket-region': 'us-east-1' })
}

const configurationBytesMax = 64 * 1024

/** Makes the branch, with an empty commit, and the repo if there is none. */
export async function createBucket(call: S3Call): Promise<void> {
  // Only a region can be said, and every one is this.
  await call.body.text(configurationBytesMax)
  const { repo, commit: branch } = call.place
  try {
    await call.versioning.headWrites.makeBranch(repo, branch)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new S3Error(
      'InvalidBucketName',
      `a bucket is called BRANCH.REPO here, or REPO for its branch master: ${error.message}`,
      { cause: error },
    )
  }
  call.answer(200, { location: `/${encodeURIComponent(call.target.bucket)}` })
}

/** Deletes the branch, if it shows no files; repo and commits stay. */
export async function deleteBucket(call: S3Call): Promise<void> {
  const { repo, branch } = await call.branch()
  await call.versioning.headWrites.deleteEmptyBranch(repo, branch)
  call.answer(204)
}

/** What S3 can say of buckets beyond their objects: what it is of one that nobody has set up. */
const unset: Readonly<Record<string, S3Code>> = {
  cors: 'NoSuchCORSConfiguration',
  encryption: 'ServerSideEncryptionConfigurationNotFoundError',
  lifecycle: 'NoSuchLifecycleConfiguration',
  'object-lock': 'ObjectLockConfigurationNotFoundError',
  policy: 'NoSuchBucketPolicy',
  replication: 'ReplicationConfigurationNotFoundError',
  tagging: 'NoSuchTagSet',
  website: 'NoSuchWebsiteConfiguration',
}

/** GET of a bucket with one of its sub-resources. False when none is asked for. */
export async function getBucketFacts(call: S3Call): Promise<boolean> {
  const { query } = call
  if (query.has('location')) {
    await call.commit()
    call.answerXml('LocationConstraint', '')
    return true
  }
  if (query.has('versioning')) {
    await call.commit()
    // Versions are commits, which are buckets of their own: of a bucket, as S3 sees it, there are none.
    call.answerXml('VersioningConfiguration', '')
    return true
  }
  if (query.has('acl')) {
    await call.commit()
    answerAcl(call)
    return true
  }
  const name = Object.keys(unset).find((one) => query.has(one))
  const code = name === undefined ? undefined : unset[name]
  if (code === undefined) return false
  await call.commit()
  throw new S3Error(code, `bucket ${call.target.bucket} has no ${name}`)
}

const granteeElement =
  'Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"'

/** There is no access control yet: whoever is let in may do everything. */
export function answerAcl(call: S3Call): void {
  call.answerXml('AccessControlPolicy', {
    Owner: owner,
    AccessControlList: { Grant: { [granteeElement]: owner, Permission: 'FULL_CONTROL' } },
  })
}

/** What is so anyway is taken, since some clients copy it with a file; anything else is refused. */
export async function putAcl(call: S3Call): Promise<void> {
  const text = await call.body.text(configurationBytesMax)
  const canned = call.header('x-amz-acl') ?? 'private'
  if (text === '' ? canned === 'private' : await isOwnAcl(text)) {
    call.answer(200)
    return
  }
  throw new S3Error(
    'NotImplemented',
    'there is no access control by bucket or object here: whoever has the keys may do everything',
  )
}

async function isOwnAcl(text: string): Promise<boolean> {
  const document = await XmlElement.parse(text, 'AccessControlPolicy')
  const lists = document.all('AccessControlList')
  const grants = lists.flatMap((list) => list.all('Grant'))
  return grants.every(
    (grant) =>
      grant.text('Permission') === 'FULL_CONTROL' &&
      grant.all('Grantee').every((grantee) => grantee.text('ID') === owner.ID),
  )
}
