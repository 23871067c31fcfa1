"""What teachers say: parcels as they came, and each teacher's newest word read out of them."""
