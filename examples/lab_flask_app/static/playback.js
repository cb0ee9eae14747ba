// Plays what it is sent, PCM16 at the rate of its context, and forgets it all when it is told to. On the audio thread.

class Playback extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.at = 0;
    this.port.onmessage = ({ data }) => {
      if (data === 'stop') this.queue.length = this.at = 0;
      else this.queue.push(new Int16Array(data));
    };
  }

  process(_inputs, [[output]]) {
    for (let i = 0; i < output.length && this.queue.length; i += 1) {
      output[i] = this.queue[0][this.at++] / 32768;
      if (this.at === this.queue[0].length) {
        this.queue.shift();
        this.at = 0;
      }
    }
    return true;
  }
}

registerProcessor('playback', Playback);
