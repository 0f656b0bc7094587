// Reads and writes PNG files: eight bits a sample, not interlaced. Enough for an example.

import { crc32, deflateSync, inflateSync } from 'node:zlib'

const signature = Buffer.from('89504e470d0a1a0a', 'hex')
const channelsOf = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }

/**
 * The brightness of a picture's points, row by row.
 * @returns {{ width: number, height: number, grey: Uint8Array }}
 */
export function readGrey(bytes) {
  const chunks = readChunks(bytes)
  const header = chunks.find(({ type }) => type === 'IHDR').data
  const width = header.readUInt32BE(0)
  const height = header.readUInt32BE(4)
  const channels = channelsOf[header[9]]
  if (header[8] !== 8 || channels === undefined || header[12] !== 0) {
    throw new Error('only PNG of eight bits a sample that is not interlaced is read')
  }
  const palette = chunks.find(({ type }) => type === 'PLTE')?.data
  const packed = Buffer.concat(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data))
  const samples = unfilter(inflateSync(packed), { rowBytes: width * channels, height, channels })
  const grey = new Uint8Array(width * height)
  for (let at = 0; at < grey.length; at += 1) {
    const sample = at * channels
    if (palette) grey[at] = brightness(palette, samples[sample] * 3)
    else grey[at] = channels < 3 ? samples[sample] : brightness(samples, sample)
  }
  return { width, height, grey }
}

/** A PNG file of shades of grey. */
export function writeGrey({ width, height, grey }) {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header[8] = 8
  const rows = Buffer.alloc((width + 1) * height)
  for (let row = 0; row < height; row += 1) {
    rows.set(grey.subarray(row * width, (row + 1) * width), row * (width + 1) + 1)
  }
  const chunks = [
    ['IHDR', header],
    ['IDAT', deflateSync(rows)],
    ['IEND', Buffer.alloc(0)],
  ]
  return Buffer.concat([signature, ...chunks.flatMap(([type, data]) => writeChunk(type, data))])
}

function readChunks(bytes) {
  if (!bytes.subarray(0, 8).equals(signature)) throw new Error('not a PNG file')
  const chunks = []
  for (let at = 8; at < bytes.length;) {
    const length = bytes.readUInt32BE(at)
    const type = bytes.toString('latin1', at + 4, at + 8)
    chunks.push({ type, data: bytes.subarray(at + 8, at + 8 + length) })
    at += length + 12
  }
  return chunks
}

function writeChunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(body))
  return [length, body, sum]
}

function brightness(bytes, at) {
  return Math.round(0.299 * bytes[at] + 0.587 * bytes[at + 1] + 0.114 * bytes[at + 2])
}

/** Each row begins with the filter that was used on it. */
function unfilter(raw, { rowBytes, height, channels }) {
  const out = new Uint8Array(rowBytes * height)
  for (let row = 0; row < height; row += 1) {
    const filter = raw[row * (rowBytes + 1)]
    for (let column = 0; column < rowBytes; column += 1) {
      const at = row * rowBytes + column
      const left = column < channels ? 0 : out[at - channels]
      const up = row === 0 ? 0 : out[at - rowBytes]
      const corner = row === 0 || column < channels ? 0 : out[at - rowBytes - channels]
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter]
      out[at] = raw[at + row + 1] + predicted
    }
  }
  return out
}

function paeth(left, up, corner) {
  const estimate = left + up - corner
  const [byLeft, byUp, byCorner] = [left, up, corner].map((near) => Math.abs(estimate - near))
  if (byLeft <= byUp && byLeft <= byCorner) return left
  return byUp <= byCorner ? up : corner
}
