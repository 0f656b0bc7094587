/**
 * Called at each named step of a durable write, so that a test can stop the process there or make
 * the step fail. In production nothing happens.
 */
export type FaultPoint = (step: string) => void

export const noFault: FaultPoint = () => undefined
