// The microphone, on the audio thread: blocks of 20 ms as 16-bit PCM, one second of them in every second.
// Closed, or without a signal, the blocks are silent, never missing: the service tells time by them.

const BLOCK_S = 0.02;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.length = Math.round(sampleRate * BLOCK_S);
    this.open = true;
    this.running = true;
    this.begin();
    this.port.onmessage = ({ data }) => Object.assign(this, data); // {open} or {running}
  }

  begin() {
    this.block = new Int16Array(this.length);
    this.filled = 0;
    this.energy = 0;
  }

  process([input], [output]) {
    const signal = this.open ? input[0] : undefined;
    const count = output[0].length; // the output stays silent: it is what makes the browser call us
    for (let i = 0; i < count; i++) {
      const sample = signal === undefined ? 0 : Math.max(-1, Math.min(1, signal[i]));
      this.block[this.filled] = sample * 32767;
      this.energy += sample * sample;
      if (++this.filled === this.length) this.send();
    }
    return this.running;
  }

  send() {
    const level = Math.sqrt(this.energy / this.length);
    this.port.postMessage({ pcm: this.block.buffer, level }, [this.block.buffer]);
    this.begin();
  }
}

registerProcessor("capture", Capture);
