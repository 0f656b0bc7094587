import { InvalidArgumentError } from '../base/errors.ts'
import { parseSize } from '../base/sizes.ts'
import type { SlotBounds } from './executor.ts'

const processCountMax = 4_000_000
const diskBytesMin = 1024 * 1024

/**
 * What every datum may use at most, as flags say it; an empty text leaves it to the executor.
 *
 * @throws {InvalidArgumentError} with advice.
 */
export function parseDatumBounds(disk: string, processes: string): Partial<SlotBounds> {
  const diskBytes = disk === '' ? undefined : parseSize(disk)
  if (disk !== '' && (diskBytes === undefined || diskBytes < diskBytesMin)) {
    throw new InvalidArgumentError(
      `--datum-disk ${JSON.stringify(disk)} is no size of at least 1 MiB: write it as in 10GB or 500MiB`,
    )
  }
  const count = Number(processes)
  if (processes !== '' && !(/^\d+$/.test(processes) && count >= 1 && count <= processCountMax)) {
    throw new InvalidArgumentError(
      `--datum-processes ${JSON.stringify(processes)} is no number from 1 to ${processCountMax}`,
    )
  }
  return {
    ...(diskBytes !== undefined && { diskBytesMax: diskBytes }),
    ...(processes !== '' && { processCountMax: count }),
  }
}
