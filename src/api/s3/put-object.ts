import type { OutgoingHttpHeaders } from 'node:http'
import type { HeadChange, HeadPut } from '../../versioning/head-writes.ts'
import type { S3Call } from './call.ts'
import { conditionsOf, outcomeOf, preconditionFailed, requirementOf } from './conditions.ts'
import { S3Error } from './errors.ts'
import { findObject } from './get-object.ts'
import { entityTag, findKey, type KeyPath, parseBucket, parseKey } from './names.ts'
import { decodedPath } from './target.ts'
import { changedAtMs, iso } from './times.ts'
import { malformed, XmlElement } from './xml-documents.ts'

/** A document that names 1,000 keys of 1,024 bytes. */
const deleteBytesMax = 2 * 1024 * 1024
const deletedCountMax = 1000
const markerBytesMax = 64 * 1024

/** Which commit a put went to: open, or made by it. */
export function commitHeaders({
  commit,
  isOpen,
}: Pick<HeadPut, 'commit' | 'isOpen'>): OutgoingHttpHeaders {
  return { 'x-pachyderm-commit': commit, 'x-pachyderm-commit-state': isOpen ? 'open' : 'finished' }
}

export async function putObject(call: S3Call, key: string): Promise<void> {
  const { path, isDirectory } = parseKey(key)
  const place = await call.branch()
  const { headWrites } = call.versioning
  if (isDirectory) {
    // A marker, as programs put that know directories.
    if ((await call.body.text(markerBytesMax)) !== '') {
      throw new S3Error(
        'InvalidArgument',
        'a key that ends with a slash is a directory, which holds no bytes',
      )
    }
    const written = await headWrites.write(place.repo, place.branch, [
      { kind: 'make-directory', path },
    ])
    call.answer(200, { etag: entityTag(new Uint8Array(32)), ...commitHeaders(written) })
    return
  }
  const requires = requirementOf(call.exchange.request.headers)
  const put = await call.body.store((bytes) => headWrites.put({ ...place, path, requires }, bytes))
  call.answer(200, { etag: entityTag(put.hash), ...call.body.verified, ...commitHeaders(put) })
}

/** Where `x-amz-copy-source` points; its conditions have been looked at. */
export async function copySource(
  call: S3Call,
): Promise<{ readonly repo: string; readonly commit: string; readonly path: string }> {
  const text = call.header('x-amz-copy-source') ?? ''
  const [source = '', query] = text.split('?')
  if (query !== undefined && query !== '') {
    throw new S3Error(
      'NotImplemented',
      'versions are buckets here: copy from BUCKET, as in <commit id>.REPO',
    )
  }
  const written = decodedPath(source.replace(/^\//, ''))
  const end = written.indexOf('/')
  if (end < 1) {
    throw new S3Error(
      'InvalidArgument',
      `x-amz-copy-source ${JSON.stringify(text)} is no BUCKET/KEY`,
    )
  }
  const bucket = written.slice(0, end)
  const key = written.slice(end + 1)
  const found = await findObject(call.of(bucket), key)
  const conditions = conditionsOf(call.exchange.request.headers, 'x-amz-copy-source-')
  const facts = { tag: entityTag(found.hash), changedAtMs: changedAtMs(found.commit) }
  if (outcomeOf(conditions, facts) !== 'go on') throw preconditionFailed()
  if (found.file === undefined) {
    throw new S3Error('InvalidRequest', `${key} is a directory: copy what is in it, file by file`)
  }
  return { repo: parseBucket(bucket).repo, commit: found.commit.id, path: found.file.path }
}

/** By reference: no byte of the file is moved. */
export async function copyObject(call: S3Call, key: string): Promise<void> {
  const { path, isDirectory } = parseKey(key)
  if (isDirectory) throw new S3Error('InvalidArgument', 'a file cannot be copied to a directory')
  await call.body.text(markerBytesMax)
  const place = await call.branch()
  const requires = requirementOf(call.exchange.request.headers)
  const source = await copySource(call)
  const target = { ...place, path, requires }
  const put = await call.versioning.headWrites.copy(target, source, call.signal)
  const { startedAt, state } = await call.versioning.commits.inspect(place.repo, put.commit)
  const changed = state.kind === 'finished' ? state.finishedAt : startedAt
  call.answerXml(
    'CopyObjectResult',
    { LastModified: iso(changed), ETag: entityTag(put.hash) },
    commitHeaders(put),
  )
}

/** Nothing there is no error. */
export async function deleteObject(call: S3Call, key: string): Promise<void> {
  const { repo, branch } = await call.branch()
  const place = findKey(key)
  if (place === undefined) {
    call.answer(204)
    return
  }
  const written = await call.versioning.headWrites.write(repo, branch, [deletionOf(place)])
  call.answer(204, commitHeaders(written))
}

/** All of them in one commit. */
export async function deleteObjects(call: S3Call): Promise<void> {
  const { repo, branch } = await call.branch()
  const document = await XmlElement.parse(await call.body.text(deleteBytesMax), 'Delete')
  const keys = document.all('Object').map((object) => object.text('Key') ?? '')
  if (keys.length === 0 || keys.includes('')) throw malformed('there is an <Object> without <Key>')
  if (keys.length > deletedCountMax) {
    throw malformed(`there are ${keys.length} keys: at most ${deletedCountMax} are allowed`)
  }
  const distinct = [...new Set(keys)]
  const changes = distinct.flatMap((key) => {
    const place = findKey(key)
    return place === undefined ? [] : [deletionOf(place)]
  })
  const written =
    changes.length === 0 ? undefined : await call.versioning.headWrites.write(repo, branch, changes)
  const isQuiet = document.text('Quiet')?.trim() === 'true'
  call.answerXml(
    'DeleteResult',
    { Deleted: isQuiet ? [] : keys.map((Key) => ({ Key })) },
    written === undefined ? {} : commitHeaders(written),
  )
}

function deletionOf({ path, isDirectory }: KeyPath): HeadChange {
  return { kind: 'delete', path, what: isDirectory ? 'empty-directory' : 'file' }
}
