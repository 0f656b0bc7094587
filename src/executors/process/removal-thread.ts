import { parentPort, workerData } from 'node:worker_threads'

import { HeldDirectory } from '../../pipelines/held-directories.ts'
import { removeIn } from './removal.ts'
import type { RemovalRequest } from './emptying.ts'

const { path, kept } = workerData as RemovalRequest
using directory = HeldDirectory.open(path)
// A thread, which has no origin as a window has.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage(removeIn(directory, kept))
