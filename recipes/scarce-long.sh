# scarce.sh until it overfits: 25 epochs instead of 10, and more dropout.
source "$recipes/scarce.sh"
updates=5000
training+=(--dropout 0.3 --total-num-update "$updates")
