import type { Upload, UploadPart } from '../../versioning/uploads.ts'
import type { ByteStream } from '../../base/bytes.ts'
import { compareKeys } from '../../versioning/key-listing.ts'
import type { S3Call } from './call.ts'
import { BodyChecks } from './body-checks.ts'
import { requirementOf } from './conditions.ts'
import { S3Error } from './errors.ts'
import { entityTag, parseKey } from './names.ts'
import { commitHeaders, copySource } from './put-object.ts'
import { iso } from './times.ts'
import { malformed, XmlElement } from './xml-documents.ts'
import { urlEncoded } from './xml-text.ts'

const partNumberMax = 10_000
/** A document that names 10,000 parts, with checksums. */
const completeBytesMax = 4 * 1024 * 1024
const listCountMax = 1000
const nothingBytesMax = 64 * 1024

export async function createUpload(call: S3Call, key: string): Promise<void> {
  const { path, isDirectory } = parseKey(key)
  if (isDirectory) throw new S3Error('InvalidArgument', 'a directory cannot be uploaded in parts')
  await call.body.text(nothingBytesMax)
  const { repo, branch } = await call.branch()
  const { id } = await call.versioning.uploads.begin({ repo, branch, path })
  call.answerXml('InitiateMultipartUploadResult', {
    Bucket: call.target.bucket,
    Key: key,
    UploadId: id,
  })
}

/** The upload that a URL names. @throws {UploadNotFoundError} */
async function uploadOf(call: S3Call, key: string): Promise<Upload> {
  return call.versioning.uploads.inspect(placeOf(call, key))
}

function placeOf(call: S3Call, key: string): Pick<Upload, 'id' | 'repo' | 'branch' | 'path'> {
  const { repo, commit: branch } = call.place
  return { id: call.query.get('uploadId') ?? '', repo, branch, path: parseKey(key).path }
}

export async function uploadPart(call: S3Call, key: string): Promise<void> {
  const number = call.query.count('partNumber') ?? 0
  if (number < 1 || number > partNumberMax) {
    throw new S3Error('InvalidArgument', `partNumber is to be 1 to ${partNumberMax}`)
  }
  const upload = await uploadOf(call, key)
  if (call.header('x-amz-copy-source') !== undefined) {
    await copyPart(call, upload, number)
    return
  }
  const part = await call.body.store((bytes) => call.versioning.uploads.put(upload, number, bytes))
  call.answer(200, { etag: entityTag(part.hash), ...call.body.verified })
}

async function copyPart(call: S3Call, upload: Upload, number: number): Promise<void> {
  await call.body.text(nothingBytesMax)
  const source = await copySource(call)
  const asked = call.header('x-amz-copy-source-range')
  const range = (sizeBytes: number): { offset: number; length: number } | undefined => {
    if (asked === undefined) return undefined
    const [, first, last] = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(asked) ?? []
    const [start, end] = [Number(first), Number(last) + 1]
    if (start < end && end <= sizeBytes) {
      return end - start === sizeBytes ? undefined : { offset: start, length: end - start }
    }
    throw new S3Error(
      'InvalidRange',
      `x-amz-copy-source-range ${JSON.stringify(asked)} is not bytes=FIRST-LAST within the ${sizeBytes} bytes of the file`,
    )
  }
  const part = await call.versioning.uploads.copy(upload, number, { ...source, range }, call.signal)
  call.answerXml('CopyPartResult', { LastModified: iso(part.putAt), ETag: entityTag(part.hash) })
}

export async function completeUpload(call: S3Call, key: string): Promise<void> {
  const text = await call.body.text(completeBytesMax)
  const document = await XmlElement.parse(text, 'CompleteMultipartUpload')
  const named = document.all('Part').map((part) => ({
    number: Number(part.text('PartNumber')),
    tag: (part.text('ETag') ?? '').trim().replaceAll('"', ''),
  }))
  if (named.length === 0) throw malformed('there is no <Part>')
  await call.branch()
  const { requestId } = call
  const put = await call.versioning.uploads.complete(placeOf(call, key), {
    pick: (parts) => named.map((one, index) => pick(parts, one, named[index - 1]?.number ?? 0)),
    check: checkOfWhole(call),
    requires: requirementOf(call.exchange.request.headers),
  })
  call.answerXml(
    'CompleteMultipartUploadResult',
    {
      Location: `/${encodeURIComponent(call.target.bucket)}/${urlEncoded(key)}`,
      Bucket: call.target.bucket,
      Key: key,
      ETag: entityTag(put.hash),
    },
    { ...commitHeaders(put), 'x-amz-request-id': requestId },
  )
}

function pick<Part extends UploadPart>(
  parts: ReadonlyMap<number, Part>,
  { number, tag }: { readonly number: number; readonly tag: string },
  before: number,
): Part {
  if (!Number.isInteger(number) || number <= before) {
    throw new S3Error('InvalidPartOrder', 'the parts are to be listed by number, each once')
  }
  const part = parts.get(number)
  if (part !== undefined && entityTag(part.hash) === `"${tag}"`) return part
  const why = part === undefined ? 'has not come' : 'is not the one with that ETag'
  throw new S3Error('InvalidPart', `part ${number} ${why}: upload it again, or list what there is`)
}

/** A checksum of the whole file costs reading it; one of checksums (`…-3`) says nothing that was not checked. */
function checkOfWhole(call: S3Call): ((bytes: ByteStream) => Promise<void>) | undefined {
  const headers = Object.fromEntries(
    Object.entries(call.exchange.request.headers).filter(
      ([name, value]) => name.startsWith('x-amz-checksum-') && !/-\d+$/.test(String(value)),
    ),
  )
  const checks = new BodyChecks(headers, undefined)
  if (checks.isEmpty) return undefined
  return async (bytes) => {
    for await (const piece of bytes) checks.update(piece)
    checks.end(new Map())
  }
}

export async function abortUpload(call: S3Call, key: string): Promise<void> {
  await call.versioning.uploads.end(await uploadOf(call, key))
  call.answer(204)
}

export async function listParts(call: S3Call, key: string): Promise<void> {
  const upload = await uploadOf(call, key)
  const after = call.query.count('part-number-marker') ?? 0
  const countMax = Math.min(call.query.count('max-parts') ?? listCountMax, listCountMax)
  const found = await call.versioning.uploads.parts(upload, { after, countMax: countMax + 1 })
  const parts = found.slice(0, countMax)
  call.answerXml('ListPartsResult', {
    Bucket: call.target.bucket,
    Key: key,
    UploadId: upload.id,
    PartNumberMarker: after,
    NextPartNumberMarker: parts.at(-1)?.number ?? after,
    MaxParts: countMax,
    IsTruncated: found.length > parts.length,
    StorageClass: 'STANDARD',
    Part: parts.map(({ number, putAt, hash, sizeBytes }) => ({
      PartNumber: number,
      LastModified: iso(putAt),
      ETag: entityTag(hash),
      Size: sizeBytes,
    })),
  })
}

/** By key, and then by id. */
export async function listUploads(call: S3Call): Promise<void> {
  const { query } = call
  const { repo, commit: branch } = call.place
  await call.commit()
  const prefix = query.get('prefix') ?? ''
  const [keyMarker, idMarker] = [query.get('key-marker') ?? '', query.get('upload-id-marker') ?? '']
  const countMax = Math.min(query.count('max-uploads') ?? listCountMax, listCountMax)
  const all = await call.versioning.uploads.list(repo, branch)
  const behind = all
    .map((upload) => ({ ...upload, key: upload.path.slice(1) }))
    .filter(({ key, id }) => {
      if (!key.startsWith(prefix)) return false
      if (keyMarker === '' || compareKeys(key, keyMarker) > 0) return true
      return key === keyMarker && idMarker !== '' && id > idMarker
    })
  const uploads = behind.slice(0, countMax)
  const last = uploads.length < behind.length ? uploads.at(-1) : undefined
  const shown = query.get('encoding-type') === 'url' ? urlEncoded : (text: string) => text
  call.answerXml('ListMultipartUploadsResult', {
    Bucket: call.target.bucket,
    KeyMarker: shown(keyMarker),
    UploadIdMarker: idMarker,
    ...(last !== undefined && { NextKeyMarker: shown(last.key), NextUploadIdMarker: last.id }),
    Prefix: shown(prefix),
    MaxUploads: countMax,
    IsTruncated: last !== undefined,
    Upload: uploads.map(({ key, id, startedAt }) => ({
      Key: shown(key),
      UploadId: id,
      StorageClass: 'STANDARD',
      Initiated: iso(startedAt),
    })),
  })
}
