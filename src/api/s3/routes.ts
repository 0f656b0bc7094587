import {
  answerAcl,
  createBucket,
  deleteBucket,
  getBucketFacts,
  headBucket,
  listBuckets,
  putAcl,
} from './bucket-calls.ts'
import type { S3Call } from './call.ts'
import { S3Error } from './errors.ts'
import { findObject, getObject } from './get-object.ts'
import { listObjects, listObjectsV2 } from './listing-calls.ts'
import { copyObject, deleteObject, deleteObjects, putObject } from './put-object.ts'
import {
  abortUpload,
  completeUpload,
  createUpload,
  listParts,
  listUploads,
  uploadPart,
} from './upload-calls.ts'

/** Parts of S3 that are not here, by what a query asks for. */
const notHere = [
  'accelerate',
  'accelerate-configuration',
  'acl',
  'analytics',
  'attributes',
  'cors',
  'encryption',
  'intelligent-tiering',
  'inventory',
  'legal-hold',
  'lifecycle',
  'logging',
  'metrics',
  'notification',
  'object-lock',
  'ownershipControls',
  'policy',
  'policyStatus',
  'publicAccessBlock',
  'replication',
  'requestPayment',
  'restore',
  'retention',
  'select',
  'tagging',
  'torrent',
  'versioning',
  'versions',
  'website',
] as const

/** Answers a call. @throws {S3Error} @throws {DomainError} for what becomes an answer, too. */
export async function route(call: S3Call): Promise<void> {
  const { bucket, key } = call.target
  if (bucket === '') await onService(call)
  else if (key === undefined) await onBucket(call)
  else await onObject(call, key)
}

function methodOf(call: S3Call): string {
  return call.exchange.request.method ?? ''
}

async function onService(call: S3Call): Promise<void> {
  if (methodOf(call) !== 'GET') throw wrongMethod(call, 'the list of buckets')
  await listBuckets(call)
}

async function onBucket(call: S3Call): Promise<void> {
  const { query } = call
  switch (methodOf(call)) {
    case 'HEAD':
      await headBucket(call)
      return
    case 'GET':
      if (query.has('uploads')) await listUploads(call)
      else if (!(await getBucketFacts(call))) {
        refuseNotHere(call)
        if (query.get('list-type') === '2') await listObjectsV2(call)
        else await listObjects(call)
      }
      return
    case 'PUT':
      if (query.has('acl')) {
        await call.commit()
        await putAcl(call)
        return
      }
      refuseNotHere(call)
      await createBucket(call)
      return
    case 'DELETE':
      refuseNotHere(call)
      await deleteBucket(call)
      return
    case 'POST':
      if (!query.has('delete')) break
      await deleteObjects(call)
      return
  }
  throw wrongMethod(call, 'a bucket')
}

async function onObject(call: S3Call, key: string): Promise<void> {
  const { query } = call
  const isPart = query.has('uploadId')
  switch (methodOf(call)) {
    case 'HEAD':
      refuseNotHere(call)
      await getObject(call, key)
      return
    case 'GET':
      if (isPart) await listParts(call, key)
      else await getObjectOrFact(call, key)
      return
    case 'PUT':
      if (query.has('acl')) {
        await findObject(call, key)
        await putAcl(call)
        return
      }
      refuseNotHere(call)
      if (isPart) await uploadPart(call, key)
      else if (call.header('x-amz-copy-source') !== undefined) await copyObject(call, key)
      else await putObject(call, key)
      return
    case 'POST':
      refuseNotHere(call)
      if (query.has('uploads')) await createUpload(call, key)
      else if (isPart) await completeUpload(call, key)
      else break
      return
    case 'DELETE':
      refuseNotHere(call)
      if (isPart) await abortUpload(call, key)
      else await deleteObject(call, key)
      return
  }
  throw wrongMethod(call, 'an object')
}

async function getObjectOrFact(call: S3Call, key: string): Promise<void> {
  const { query } = call
  if (query.has('acl')) {
    await findObject(call, key)
    answerAcl(call)
  } else if (query.has('tagging')) {
    await findObject(call, key)
    call.answerXml('Tagging', { TagSet: '' })
  } else {
    refuseNotHere(call)
    await getObject(call, key)
  }
}

function refuseNotHere({ query }: S3Call): void {
  const name = notHere.find((one) => query.has(one))
  if (name !== undefined) {
    throw new S3Error('NotImplemented', `?${name} is a part of S3 that is not here`)
  }
  const version = query.get('versionId')
  if (version === undefined || version === 'null') return
  throw new S3Error(
    'NotImplemented',
    'versions are buckets of their own here: read from the bucket <commit id>.REPO',
  )
}

function wrongMethod(call: S3Call, what: string): S3Error {
  return new S3Error(
    'MethodNotAllowed',
    `${methodOf(call)} is nothing that can be done to ${what} here`,
  )
}
