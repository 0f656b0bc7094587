import type { RunPorts } from './run-ports.ts'

/**
 * The same, for a run that ends with a `CancelledError` once `signal` has aborted, whatever it is at:
 * finding datums and merging what they wrote are made of reading and writing nodes, and each is a step
 * before which the signal is looked at.
 */
export function interruptible(ports: RunPorts, signal: AbortSignal): RunPorts {
  return { ...ports, maps: ports.maps.until(signal), trees: ports.trees.until(signal) }
}
